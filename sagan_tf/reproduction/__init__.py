"""The paper's experiments: their runs, a sweep that performs them, and a report."""
