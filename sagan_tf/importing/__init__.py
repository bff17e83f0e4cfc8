"""Weights of other projects: how their files are read, named and rewritten into runs."""
