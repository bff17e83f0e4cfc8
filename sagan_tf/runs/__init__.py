"""A run and its directory: its configuration, the objects made from it, what is read back."""
