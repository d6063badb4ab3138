"""`python -m broker VERB`."""

from broker.cli import main

if __name__ == "__main__":
    main()
