"""How this program's garbage is collected."""

import gc

BETWEEN = (100_000, 20, 20)
"""After how many new objects, and how many younger collections, to look for cycles. Pages of records make objects by
the hundred thousand, and none in cycles; Python's 700 would look through them all, again and again."""


def settle() -> None:
    """To be called by a program once it is loaded: what it consists of is never garbage, and is not looked at again."""
    gc.freeze()
    gc.set_threshold(*BETWEEN)
