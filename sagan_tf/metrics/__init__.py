"""Pure functions of features, logits and labels, and the networks that give these.

`statistics` reads a stream of images' features once; each metric is a file of functions of such statistics.
"""
