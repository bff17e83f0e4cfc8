"""A training run in progress: restored, trained, watched, saved and scored."""
