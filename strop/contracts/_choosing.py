"""The contracts of decoders, probes and curators: pieces that look at finished attempts."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from strop.contracts._drawing import DRAWING
from strop.contracts._examples import HOSTILE, MIXED, group, groups
from strop.contracts._finding import ensure, ensure_json
from strop.decoders import NEEDS
from strop.keys import Key
from strop.records import Trajectory


def names_an_attempt_or_nothing(decoder: Any) -> None:
    for each in (*groups(), group(("wrong",)), group(["wrong"] * len(HOSTILE), texts=HOSTILE)):
        chosen = decoder(each.trajectories)
        if chosen is not None:
            inside = isinstance(chosen, int) and 0 <= chosen < len(each)
            ensure(inside, f"of {len(each)} attempts, expected an index or None, got {chosen!r}")


def gives_nothing_for_nothing(decoder: Any) -> None:
    ensure(decoder(()) is None, f"expected None where there is no attempt, got {decoder(())!r}")


def chooses_the_same_twice(decoder: Any) -> None:
    for each in groups():
        ensure(decoder(each.trajectories) == decoder(each.trajectories), "two calls chose differently")


def survives_attempts_without_tokens_or_verdict(decoder: Any) -> None:
    bare = [dataclasses.replace(t, tokens=None, mask=None, logp=None, verdict=None) for t in group(MIXED).trajectories]
    chosen = decoder(bare)
    ensure(chosen is None or 0 <= chosen < len(bare), f"expected an index or None, got {chosen!r}")


def says_what_it_needs(decoder: Any) -> None:
    needs = getattr(decoder, "needs", None)
    known = isinstance(needs, tuple) and set(needs) <= set(NEEDS)
    ensure(known, f"`needs` must be a tuple of names among {', '.join(NEEDS)}, got {needs!r}")


def looks_only_at_what_it_needs(decoder: Any) -> None:
    needs = getattr(decoder, "needs", ())

    def bare(attempt: Trajectory) -> Trajectory:
        verdict = attempt.verdict if "answer" in needs else None
        return dataclasses.replace(attempt, verdict=verdict, reward=attempt.reward if "score" in needs else 0.0)

    for each in groups():
        expected, actual = decoder(each.trajectories), decoder([bare(t) for t in each.trajectories])
        ensure(actual == expected, f"without what `needs` does not name, it chose {actual!r} instead of {expected!r}")


def does_not_know_which_answer_is_right(decoder: Any) -> None:
    other = {"right": "wrong", "wrong": "right"}
    for each in groups():
        turned = [
            dataclasses.replace(t, verdict=dataclasses.replace(t.verdict, outcome=other[t.verdict.outcome]))
            if t.verdict is not None and t.verdict.outcome in other
            else t
            for t in each.trajectories
        ]
        expected, actual = decoder(each.trajectories), decoder(turned)
        ensure(actual == expected, f"with right and wrong exchanged, it chose {actual!r} instead of {expected!r}")


def _where_it_draws(check: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(check)
    def tried(decoder: Any) -> None:
        if hasattr(decoder, "draw"):
            check(decoder)

    return tried


DECODERS = (
    names_an_attempt_or_nothing,
    gives_nothing_for_nothing,
    chooses_the_same_twice,
    survives_attempts_without_tokens_or_verdict,
    says_what_it_needs,
    looks_only_at_what_it_needs,
    does_not_know_which_answer_is_right,
    *map(_where_it_draws, DRAWING),
)


def gives_numbers_ready_for_json(probe: Any) -> None:
    if not getattr(probe, "needs", ()):
        numbers = probe(groups())
        ensure(isinstance(numbers, dict) and numbers, f"expected a dictionary of numbers, got {numbers!r}")
        ensure_json(numbers, "the result")


def gives_the_same_numbers_twice(probe: Any) -> None:
    if not getattr(probe, "needs", ()):
        ensure(probe(groups()) == probe(groups()), "two calls gave different numbers")


PROBES = (gives_numbers_ready_for_json, gives_the_same_numbers_twice)


def marks_instead_of_removing(curator: Any) -> None:
    before = groups()
    seen = {(t.problem.id, t.sample) for each in curator(before, Key.root(0)) for t in each.trajectories}
    known = {(t.problem.id, t.sample) for each in before for t in each.trajectories}
    strange = sorted(seen - known)
    ensure(not strange, f"attempts came back that were not given: {strange[:3]}")


def curates_the_same_twice(curator: Any) -> None:
    def marks() -> list[tuple[str, int, str]]:
        return [
            (t.problem.id, t.sample, t.dropped) for each in curator(groups(), Key.root(0)) for t in each.trajectories
        ]  # fmt: skip

    ensure(marks() == marks(), "two calls with the same key curated differently")


def keeps_marks_that_are_there(curator: Any) -> None:
    marked = [
        dataclasses.replace(
            each, trajectories=tuple(dataclasses.replace(t, dropped="before") for t in each.trajectories)
        )
        for each in groups()
    ]
    for each in curator(marked, Key.root(0)):
        for t in each.trajectories:
            ensure(t.dropped, f"attempt {t.sample} of {t.problem.id} was dropped before and is not any more")


def takes_no_groups(curator: Any) -> None:
    ensure(list(curator([], Key.root(0))) == [], "no groups must give no groups")


CURATORS = (marks_instead_of_removing, curates_the_same_twice, keeps_marks_that_are_there, takes_no_groups)
