"""Which field of a data set is what, and the mappings that are shipped."""

import re
from collections.abc import Mapping

from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class FieldMapping:
    """The fields of a row, by what they are for. Empty where the data set has no such field."""

    question: str | tuple[str, ...]
    """The question; several fields are joined with a blank."""
    answer: str
    """The final answer, or a text that `pattern` finds it in."""
    pattern: str = ""
    """Regular expression whose first group is the final answer; the whole field where empty. The last match counts."""
    solution: str = ""
    """A worked solution."""
    drop: str = ""
    """Regular expression of what is removed from the solution."""
    level: str = ""
    """Difficulty, a number or a text with a number in it."""
    subject: str = ""
    """Kept in the problem's data."""

    @field_validator("pattern", "drop")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


MAPPINGS: Mapping[str, FieldMapping] = {
    "gsm8k": FieldMapping(
        # calculator marks such as <<2+3=5>> are no part of the reasoning
        question="question", answer="answer", pattern=r"####[ \t]*(.+)", solution="answer", drop=r"<<[^<>]*>>|####.*",
    ),
    "math": FieldMapping(
        question="problem", answer="answer", solution="solution", level="level", subject="subject",
    ),
    "svamp": FieldMapping(question=("Body", "Question"), answer="Answer", subject="Type"),
}  # fmt: skip
"""Shipped mappings: GSM8K (arXiv:2110.14168), MATH and MATH-500 (arXiv:2103.03874, 2305.20050), SVAMP
(arXiv:2103.07191)."""
