"""Whether a response thinks before it answers."""

from strop.text import CLOSE, OPEN


def skipped(text: str) -> bool:
    """Whether the think block is closed with nothing in it but blanks and dots: the answer comes at once.

    >>> skipped("<think></think>5"), skipped("<think> ...</think>5"), skipped("<think>2+3</think>5")
    (True, True, False)
    >>> skipped("5"), skipped("<think>...")  # no block that ends
    (False, False)
    """
    thought, closed, _ = text.partition(CLOSE)
    return bool(closed) and not thought.replace(OPEN, "", 1).strip(" .…\n\t\r")
