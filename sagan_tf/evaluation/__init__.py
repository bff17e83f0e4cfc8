"""From images to kept scores; `pipeline` shows the order.

`samples` draws or reads generated images, `real_images` opens those to compare with, `reference` keeps their
statistics in a file. `preparation` makes a `Scorer`, after a look at what can be wrong. `scoring` takes the
images through the network once and computes the metrics of `sagan_tf.metrics.catalog`. `results` writes each
value with its protocol. `run_scoring` scores checkpoints of a run, `training_scores` a run while it trains.
"""
