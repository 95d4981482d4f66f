"""Text while it is being written, and the answer in it."""

from collections.abc import Sequence

import numpy as np

from strop.episodes import Tokenizer
from strop.text import split_thought
from strop.verifiers import canonical_answer


class Reader:
    """Tokens in, text out as soon as it is certain.

    A token may end in the middle of a character, and some tokenizers write a token differently at the start of a text;
    so the last few tokens are decoded together with the new ones.

    >>> from strop.backends.http.conversations import ByteTokenizer
    >>> reader = Reader(ByteTokenizer())
    >>> [reader.add([byte]) for byte in "2²".encode()], reader.end()
    (['2', '', '²'], '')
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokens: list[int] = []
        self.start = self.sure = 0
        """Tokens from `start` on are decoded again; those before `sure` have been given out."""

    def add(self, tokens: Sequence[int]) -> str:
        """What is certain now and was not before."""
        self.tokens += tokens
        before, after = self._text(self.sure), self._text(len(self.tokens))
        if len(after) <= len(before) or after.endswith("\ufffd"):
            return ""
        self.start, self.sure = self.sure, len(self.tokens)
        return after[len(before) :]

    def end(self) -> str:
        """What was held back."""
        before, after = self._text(self.sure), self._text(len(self.tokens))
        self.start = self.sure = len(self.tokens)
        return after[len(before) :]

    def _text(self, end: int) -> str:
        return self.tokenizer.decode(np.array(self.tokens[self.start : end], dtype=np.int64))


def read_answer(response: str) -> str | None:
    """The answer of a response to a question nobody here knows the answer to; responses with equal ones vote together.

    Numbers are written as fractions, so that 0.5 and 1/2 are one answer; anything else as it stands, but for blanks.

    >>> read_answer("<think>so</think>It is 1,080."), read_answer("0.50"), read_answer("1/2"), read_answer("<think>on")
    ('1080', '1/2', '1/2', None)
    """
    said = split_thought(response).answer
    return None if said is None else canonical_answer(said)
