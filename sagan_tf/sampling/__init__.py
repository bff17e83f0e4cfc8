"""What `sagan_tf.sample` draws: samples, ways through z and the classes, neighbours, the course of a run."""
