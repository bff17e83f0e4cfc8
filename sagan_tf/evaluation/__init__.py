"""From images to a kept score: samples, reference, metrics by name, protocol.

`samples` draws or reads images, `reference` keeps statistics of real ones in a file, `scores` is the table
of metrics, `scoring` measures in one pass, `results` keeps each value with its protocol. `run_scoring`
does all this for the checkpoints of a run, `training_scores` while it trains.
"""
