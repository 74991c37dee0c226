"""`python -m nportpy`."""

from nportpy.cli import main

if __name__ == "__main__":
    main()
