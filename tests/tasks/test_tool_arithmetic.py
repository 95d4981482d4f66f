import re

import pytest

from strop.keys import Key
from strop.records import Problem, Turn
from strop.tasks.tool_arithmetic import ToolArithmetic


def slow_answer(story):
    """The amount, followed event by event through the words of the story."""
    first, *events = story.split(". ")[0].split(", ")
    amount = int(re.search(r"has (\d+)", first)[1])
    for event in events:
        numbers = [int(n) for n in re.findall(r"\d+", event)]
        if "times as many" in event:
            amount *= numbers[0]
            continue
        change = numbers[0] * numbers[1] if "boxes of" in event else numbers[0]
        amount += change if event.split()[0] in ("buys", "finds", "gets") else -change
    return str(amount)


def test_references_match_a_slow_reading_of_the_story():
    task = ToolArithmetic(levels=tuple(range(1, 9)))
    scaled = 0
    for index in range(1500):
        problem = task.problem("train", index)
        scaled += "times as many" in problem.question
        assert problem.reference == slow_answer(problem.question), problem.question
        assert 0 <= int(problem.reference) <= 999
        assert problem.question.count(", ") == problem.difficulty
    assert scaled > 100


PROBLEM = Problem(id="x", task="tool_arithmetic", prompt=(Turn("user", "?"),), reference="99")


@pytest.mark.parametrize(
    ("answer", "outcome", "value"),
    [
        ("<call>23*4+7</call>", "right", "99"),
        ("<call>7 + 4*23</call>", "right", "99"),
        ("<call>(100-1)*2/2</call>", "right", "99"),
        ("<call>23*4+8</call>", "wrong", "100"),
        ("<call>3-5</call>", "wrong", "-2"),
        ("<call>7/2</call>", "wrong", "7/2"),
        ("99", "unparsable", None),
        ("<call>99</call>", "unparsable", None),
        ("<call>-99</call>", "unparsable", None),
        ("23*4+7", "unparsable", None),
        ("<call>23*4+7</call>=99", "unparsable", None),
        ("so <call>23*4+7</call>", "unparsable", None),
        ("<call>23*4+7</call><call>23*4+7</call>", "unparsable", None),
        ("<call><call>23*4+7</call></call>", "unparsable", None),
        ("<call>23*4+7", "unparsable", None),
        ("<call>", "unparsable", None),
        ("</call>", "unparsable", None),
        ("<call></call>", "unparsable", None),
        ("<call>1/0</call>", "unparsable", None),
        ("<call>9**9**9**9</call>", "unparsable", None),
        ("<call>__import__('os').system('true')</call>", "unparsable", None),
        ("<call>" + "(" * 10**5 + "1" + ")" * 10**5 + "</call>", "unparsable", None),
        ("<call>" + "9*" * 10**5 + "9</call>", "unparsable", None),
    ],
)
def test_judges(answer, outcome, value):
    actual = ToolArithmetic().verify(f"<think>x</think>{answer}", PROBLEM)
    assert (actual.outcome, actual.answer) == (outcome, value)


def test_traces_by_hand():
    problem = Problem(
        id="x",
        task="tool_arithmetic",
        prompt=(Turn("user", "mia has 23 pens, buys 4 boxes of 6, has 2 times as many, loses 7. how many pens"),),
        reference="87",
        data={
            "expression": "(23+4*6)*2-7",
            "events": [
                ["has 23", "23"],
                ["buys 4 boxes of 6", "+4*6"],
                ["has 2 times as many", "*2"],
                ["loses 7", "-7"],
            ],
        },
    )
    task = ToolArithmetic()
    expected = (
        "<think>has 23 so 23 buys 4 boxes of 6 so +4*6 has 2 times as many so *2 loses 7 so -7</think>"
        "<call>(23+4*6)*2-7</call>"
    )
    assert slow_answer(problem.question) == "87"
    assert task.write(problem, "short", Key.root(0)) == expected
    assert task.write(problem, "direct", Key.root(0)) == "<think></think><call>(23+4*6)*2-7</call>"


def test_slips_stay_well_formed():
    task = ToolArithmetic()
    for index in range(300):
        problem = task.problem("train", index)
        for style in ("direct", "short", "long"):
            text = task.write(problem, style, Key.root(index), slips=0.7)
            assert task.verify(text, problem).outcome in ("right", "wrong"), text
