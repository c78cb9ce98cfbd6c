"""Writes the generated pages of `docs/reference`: `python -m stratuslab.core.reference FOLDER`.

No service needs it at run time. Pages say only what the code declares; whatever wants more words
is explained elsewhere in `docs`.
"""
