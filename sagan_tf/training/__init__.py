"""The algorithm: losses, the alternating step, the loop around it, checkpoints."""
