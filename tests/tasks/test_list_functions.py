import pytest

from strop.keys import Key
from strop.records import Problem, Turn
from strop.tasks.list_functions import ListFunctions


def slow_answer(question):
    """The answer worked out from the prompt alone, one function after the other, by hand-written loops."""
    before, after = question.removeprefix("list ").split(" then ")
    values = [int(word) for word in before.split()]
    for word in after.split():
        name, k = word.rstrip("0123456789"), int("0" + word.lstrip("abcdefghijklmnopqrstuvwxyz"))
        kept = []
        match name:
            case "sort":
                while values:
                    kept.append(values.pop(values.index(min(values))))
            case "reverse":
                while values:
                    kept.append(values.pop())
            case "double" | "add":
                kept = [v + v if name == "double" else v + k for v in values]
            case "unique":
                for v in values:
                    if v not in kept:
                        kept.append(v)
            case "even" | "odd":
                kept = [v for v in values if str(v)[-1] in ("02468" if name == "even" else "13579")]
            case "over":
                kept = [v for v in values if not v <= k]
            case "take" | "drop":
                kept = [v for i, v in enumerate(values) if (i < k) == (name == "take")]
            case "max" | "min":
                kept = [sorted(values)[-1 if name == "max" else 0]]
            case "sum":
                kept = [0]
                for v in values:
                    kept[0] += v
            case "count":
                kept = [sum(1 for _ in values)]
            case _:
                raise AssertionError(name)
        values = kept
    return " ".join(str(v) for v in values)


def test_references_match_a_slow_reading_of_the_prompt():
    task = ListFunctions(levels=tuple(range(1, 11)))
    seen = set()
    for index in range(1500):
        problem = task.problem("train", index)
        seen |= {word.rstrip("0123456789") for word in problem.question.split(" then ")[1].split()}
        assert problem.reference == slow_answer(problem.question), problem.question
        assert len(problem.question.split(" then ")[1].split()) == problem.difficulty
        assert 1 <= len(problem.reference.split()) <= 6
    assert len(seen) == 14


def problem_of(question, reference):
    return Problem(id="x", task="list_functions", prompt=(Turn("user", question),), reference=reference)


@pytest.mark.parametrize(
    ("answer", "outcome", "canonical"),
    [
        ("10 16", "right", "10 16"),
        ("10, 16", "right", "10 16"),
        ("[10, 16]", "right", "10 16"),
        ("010  16", "right", "10 16"),
        ("16 10", "wrong", "16 10"),
        ("10", "wrong", "10"),
        ("1016", "wrong", "1016"),
        ("none", "wrong", "none"),
        ("[]", "wrong", "none"),
        ("10 16 and more", "unparsable", None),
        ("-10 16", "unparsable", None),
        ("10 ١٦", "unparsable", None),
        ("10 " * 1000, "unparsable", None),
        ("[", "unparsable", None),
        ("", "unparsable", None),
    ],
)
def test_judges(answer, outcome, canonical):
    actual = ListFunctions().verify(
        f"<think>sort 1 3 5 8</think>{answer}", problem_of("list 3 8 1 5 then sort drop2 double", "10 16")
    )
    assert (actual.outcome, actual.answer) == (outcome, canonical)


def test_short_trace_by_hand():
    task = ListFunctions()
    problem = Problem(
        id="x",
        task="list_functions",
        prompt=(Turn("user", "list 3 8 1 5 then sort drop2 sum"),),
        reference="13",
        data={"start": [3, 8, 1, 5], "chain": [["sort", None], ["drop", 2], ["sum", None]]},
    )
    expected = "<think>sort 1 3 5 8 drop2 5 8 sum 5+8=13</think>13"
    assert task.write(problem, "short", Key.root(0)) == expected
    assert task.write(problem, "direct", Key.root(0)) == "<think></think>13"


def test_slips_build_on_each_other_and_stay_readable():
    task = ListFunctions(levels=(4,))
    for index in range(300):
        problem = task.problem("train", index)
        text = task.write(problem, "long", Key.root(index), slips=0.6)
        assert task.verify(text, problem).outcome in ("right", "wrong"), text


def test_rechecks_repair_some_slips():
    task = ListFunctions(levels=(3,))
    problems = [task.problem("train", index) for index in range(600)]
    right = {
        style: sum(task.verify(task.write(p, style, Key.root(p.id), 0.15), p).outcome == "right" for p in problems)
        for style in ("short", "long")
    }
    assert right["long"] > right["short"] + 20
    assert any("no, wait. again" in task.write(p, "long", Key.root(p.id), 0.15) for p in problems)
