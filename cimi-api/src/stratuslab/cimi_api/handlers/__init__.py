"""The HTTP edge: everything that knows the web framework, and nothing else."""
