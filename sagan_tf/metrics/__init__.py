"""Metrics: what each one is (`catalog`, one a file), their pure functions, and the networks that see images.

`metric` says what a metric is. `statistics` gathers features in one pass over the images. The other files are
functions of features, logits and labels, and the networks that give these.
"""
