"""From images to kept scores; `pipeline` shows the order.

`samples` draws or reads images. `reference` keeps statistics of real images in a file. `scoring` takes the
images through the network once and computes the metrics of `sagan_tf.metrics.catalog`. `results` writes each
value with its protocol. `run_scoring` scores checkpoints of a run, `training_scores` a run while it trains.
"""
