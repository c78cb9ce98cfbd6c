"""Passwords and secrets at rest."""
