"""The CIMI model: one typed representation per resource, made by pure functions."""
