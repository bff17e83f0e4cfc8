"""What every part may use: options, command line, errors, progress, devices, output folders."""
