"""The operator's command `stratuslab`, the supervisor and the front door."""
