"""The CIMI front: authentication, authorisation and one generic handler for all resources."""
