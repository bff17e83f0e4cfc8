"""What the project needs of the operating system and of Keras's settings, each in one place."""
