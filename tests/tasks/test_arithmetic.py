"""Chains against Python's own arithmetic."""

import ast
import operator
import re

import pytest

from strop.keys import Key
from strop.tasks import STYLES
from strop.tasks.arithmetic import Arithmetic

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def value(text: str) -> int:
    """By Python's grammar, which shares nothing with the task's own evaluation."""

    def walk(node: ast.AST) -> int:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        assert isinstance(node, ast.Constant)
        return node.value

    return walk(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("level", [1, 3, 8, 12])
def test_reference_is_the_value_and_level_counts_operations(level: int):
    task = Arithmetic(levels=(level,))
    for index in range(200):
        problem = task.problem("train", index)
        assert int(problem.reference) == value(problem.question)
        assert len(re.findall(r"[+-]", problem.question)) == level
        assert 0 <= int(problem.reference) <= 999


def test_every_line_of_a_chain_without_slips_is_true():
    task = Arithmetic()
    for index in range(100):
        problem = task.problem("train", index)
        for style in STYLES:
            text = task.write(problem, style, Key.root(index))
            equations = re.findall(r"([\d+*-]+)=(\d+)", text)
            assert all(value(left) == int(right) for left, right in equations)
            assert (len(equations) > 0) == (style != "direct")


def test_slips_are_wrong_lines_and_some_long_chains_repair_them():
    task = Arithmetic()
    problems = [task.problem("train", i) for i in range(300)]
    texts = {s: [task.write(p, s, Key.root(i), slips=0.15) for i, p in enumerate(problems)] for s in ("short", "long")}
    right = {
        s: sum(task.verify(t, p).outcome == "right" for t, p in zip(texts[s], problems, strict=True)) for s in texts
    }
    assert 60 < right["short"] < 240
    repaired = [
        task.verify(t, p).outcome == "right" for t, p in zip(texts["long"], problems, strict=True) if "wait" in t
    ]
    assert len(repaired) > 10
    assert any(repaired)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("12", "right"), ("012", "right"), ("13", "wrong"), ("-12", "wrong"), ("1_2", "unparsable"), ("12.0",
    "unparsable"), ("", "unparsable"), ("١٢", "unparsable"), ("--12", "wrong"), ("1" * 13, "unparsable")],
)  # fmt: skip
def test_answers_by_hand(answer: str, expected: str):
    task = Arithmetic()
    problem = next(p for p in (task.problem("train", i) for i in range(5000)) if p.reference == "12")
    assert task.verify(f"<think>x</think>{answer}", problem).outcome == expected
