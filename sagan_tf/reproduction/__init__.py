"""The paper's experiments: which runs they are, running what is missing of them, and a report."""
