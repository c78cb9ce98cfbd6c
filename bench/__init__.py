"""How fast the cloud is, each figure beside its floor from the same run. `make bench`."""
