"""`python -m speck_adacal` is the command `speck-adacal`."""

from __future__ import annotations

from speck_adacal.cli import main

if __name__ == "__main__":
    main()
