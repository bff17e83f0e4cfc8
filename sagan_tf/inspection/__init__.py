"""Turns a run into something to look at: grids, paths, neighbours, attention, curves."""
