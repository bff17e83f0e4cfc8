"""Weights of other projects: names and files of the 2018 release."""
