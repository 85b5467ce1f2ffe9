"""What the twin is held against: the chip's rules once more, slow and plain, and random programs.

Nothing here is part of the package. Tests import it as `oracle` (pytest's `pythonpath`), scripts
after putting `tests/` on their path.
"""
