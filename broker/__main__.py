"""`python -m broker VERB`."""

if __name__ == "__main__":  # workers are spawned, and import this module without running it
    from broker.cli import main

    main()
