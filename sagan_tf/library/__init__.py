"""The Python interface: a trained run as an object, the commands as functions, the game as a Keras model."""
