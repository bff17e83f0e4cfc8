"""Scores of generated images, and what they are measured with.

`statistics` reads a stream of images' features once; each metric is a file of pure functions of
such statistics; `reference` keeps those of real images in a file; `scoring` puts them together.
"""
