"""`python -m vosbench`."""

from vosbench.cli.main import main

if __name__ == "__main__":
    main()
