"""The contracts of curricula and controllers: pieces with a memory that shape the next step."""

from typing import Any

from strop.contracts._examples import group, groups
from strop.contracts._finding import copied, ensure, ensure_json, ensure_untouched
from strop.keys import Key
from strop.records import Report
from strop.tasks.arithmetic import Arithmetic


def starts_with_plain_data(curriculum: Any) -> None:
    ensure_json(curriculum.init(Arithmetic()), "the state of init()")
    ensure(curriculum.rounds >= 1, f"rounds must be at least 1, got {curriculum.rounds}")


def picks_as_many_as_asked(curriculum: Any) -> None:
    task = Arithmetic()
    state = curriculum.init(task)
    for n in (1, 5):
        problems, state = curriculum.pick(task, state, n, Key.root(0))
        ensure(len(problems) == n, f"{n} problems were asked for, {len(problems)} came")
        ensure_json(state, "the state of pick()")


def picks_purely(curriculum: Any) -> None:
    task = Arithmetic()
    state = curriculum.init(task)
    before = copied(state)
    first = [p.id for p in curriculum.pick(task, state, 4, Key.root(1))[0]]
    ensure_untouched(before, state, "the state given to pick()")
    again = [p.id for p in curriculum.pick(task, copied(before), 4, Key.root(1))[0]]
    ensure(first == again, f"the same state and key gave {first}, then {again}")


def goes_on_drawing(curriculum: Any) -> None:
    task = Arithmetic()
    _, state = curriculum.pick(task, curriculum.init(task), 4, Key.root(0))
    ensure(
        state != curriculum.init(task),
        "the state after a draw is the state before it: every step has the same problems",
    )


def drops_with_a_reason(curriculum: Any) -> None:
    for each in (*groups(), group(("right",))):
        reason = curriculum.drop(each)
        ensure(isinstance(reason, str), f"drop() must give a reason or an empty text, got {reason!r}")


def updates_in_plain_data(curriculum: Any) -> None:
    task = Arithmetic()
    _, state = curriculum.pick(task, curriculum.init(task), 4, Key.root(0))
    before = copied(state)
    after = curriculum.update(state, groups())
    ensure_untouched(before, state, "the state given to update()")
    ensure_json(after, "the state of update()")
    ensure(curriculum.update(copied(before), groups()) == after, "the same state and groups gave another state")
    curriculum.pick(task, after, 4, Key.root(2))


CURRICULA = (
    starts_with_plain_data,
    picks_as_many_as_asked,
    picks_purely,
    goes_on_drawing,
    drops_with_a_reason,
    updates_in_plain_data,
)


def remembers_in_plain_data(controller: Any) -> None:
    state = controller.init()
    ensure_json(state, "the state of init()")
    report = Report({"loss": 0.5, "grad_norm": 1.0, "entropy": 0.7, "kl": 0.01, "lr": 1e-4})
    before = copied(state)
    after = controller.update(state, groups(), report)
    ensure_untouched(before, state, "the state given to update()")
    ensure_json(after, "the state of update()")
    ensure(controller.update(copied(before), groups(), report) == after, "the same state and groups gave another state")


CONTROLLERS = (remembers_in_plain_data,)
