"""What `sagan_tf.export` writes: a SavedModel for TF Serving, and the files that stand beside it."""
