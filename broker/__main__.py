"""`python -m broker VERB`."""

if __name__ == "__main__":  # workers that are spawned import this module without running it
    from broker.cli import main

    main()
