"""Mistakes of the user."""


class UserError(Exception):
    """A mistake that the user can mend; its message is the one line that the user sees."""
