"""What all services of the cloud share; it contains no service."""
