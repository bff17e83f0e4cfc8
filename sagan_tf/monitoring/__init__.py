"""What watches a run: figures and pictures of its course, guards, the estimate of its cost."""
