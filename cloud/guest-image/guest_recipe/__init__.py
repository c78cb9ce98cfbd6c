"""The recipe of the tiny guest image, in the order it is followed.

`packages` (what it is made of) → `kernel` and `tree` (what goes in) → `disk` (how it is laid out).
Standard library only, so that it runs before anything else is installed.
"""
