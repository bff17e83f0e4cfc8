"""The machine and the process: what is set before TensorFlow starts, files, devices."""
