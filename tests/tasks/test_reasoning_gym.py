"""Tasks of reasoning-gym."""

import sys

import pytest

from strop.errors import ConfigError
from strop.keys import Key
from strop.piece import build, dump
from strop.tasks import reasoning_gym
from strop.tasks.reasoning_gym import ReasoningGym
from strop.verifiers._pool import judge

pytest.importorskip("reasoning_gym", reason="needs the extra strop[tasks]")
SOME = [
    "chain_sum",
    "countdown",
    "n_queens",
    "spiral_matrix",
    "polynomial_multiplication",
    "time_intervals",
]


@pytest.mark.parametrize("dataset", SOME)
def test_its_own_answers_are_right_and_others_wrong(dataset):
    task = ReasoningGym(dataset=dataset)
    for index in range(5):
        problem = task.problem("train", index)
        assert task.verify(task.write(problem, "direct", Key.root(0)), problem).outcome == "right"
        assert task.verify(task.corrupt(problem, Key.root(index)), problem).outcome == "wrong"
        assert task.write(problem, "long", Key.root(0)) is None


def test_problems_are_pure_and_streams_are_separate():
    task = ReasoningGym()
    first = [task.problem("train", i) for i in range(300)]
    assert ReasoningGym().problem("train", 7) == first[7]
    # its own seeds repeat 299 of 300 here: seed 1 is seed 0 moved by one
    others = [ReasoningGym(seed=1).problem("train", i) for i in range(300)] + [
        task.problem("heldout", i) for i in range(300)
    ]
    seen = {p.question for p in first}
    assert len(seen) > 250
    assert sum(p.question in seen for p in others) < 60
    assert first[3].id == "reasoning_gym.chain_sum/train/3"


def test_options_reach_the_data_set_and_are_checked():
    long = ReasoningGym(config={"min_terms": 6, "max_terms": 6})
    assert long.problem("train", 0).question.count(" + ") + long.problem("train", 0).question.count(" - ") == 5
    assert build(ReasoningGym, {k: v for k, v in dump(long).items() if k != "piece"}, "task") == long
    with pytest.raises(ConfigError, match=r"no data set 'chain_sun'. Did you mean 'chain_sum'"):
        ReasoningGym(dataset="chain_sun").problem("train", 0)
    with pytest.raises(ConfigError, match=r"no option 'min_term'. Did you mean 'min_terms'"):
        ReasoningGym(config={"min_term": 2}).problem("train", 0)
    with pytest.raises(ConfigError, match="refuses the options"):
        ReasoningGym(config={"min_terms": 6, "max_terms": 2}).problem("train", 0)


def test_a_partial_score_is_wrong():
    task = ReasoningGym()
    problem = task.problem("train", 1)
    verdict = task.verify(f"<think>x</think>the answer is {problem.reference}", problem)
    assert verdict.outcome == "wrong"
    assert "score 0" in verdict.detail


@pytest.mark.parametrize("dataset", ["countdown", "puzzle24", "n_queens", "spiral_matrix", "simple_integration"])
def test_answers_are_never_run_as_code(dataset, tmp_path):
    mark = tmp_path / "mark"
    attacks = [
        f"open('{mark}', 'w')",
        f"(open)('{mark}', 'w')",
        f"[open][0]('{mark}', 'w')",
        f"(open if 1 else 0)('{mark}', 'w')",
        f"open#\n('{mark}', 'w')",
        f"open\\\n('{mark}', 'w')",
        f"__import__('pathlib').Path('{mark}').touch()",
        f"f\"{{open('{mark}', 'w')}}\"",
        f'exec(\'open("{mark}", "w")\')',
        f"(lambda: open('{mark}', 'w'))()",
        "ｏｐｅｎ" + f"('{mark}', 'w')",
        "().__class__.__base__.__subclasses__()",
    ]
    task = ReasoningGym(dataset=dataset)
    problem = task.problem("train", 0)
    for attack in attacks:
        assert task.verify(f"<think>x</think>{attack}", problem).outcome == "unparsable", attack
        assert not mark.exists(), attack


def test_the_attack_would_work_without_the_filter(tmp_path, monkeypatch):
    monkeypatch.setattr(reasoning_gym, "_harmless", lambda answer: True)
    task, mark = ReasoningGym(dataset="n_queens"), tmp_path / "mark"
    task.verify(f"<think>x</think>open('{mark}', 'w')", task.problem("train", 0))
    assert mark.exists()


def test_a_hang_costs_its_own_row():
    task = ReasoningGym(dataset="countdown", seconds=1.0)
    problem = task.problem("train", 0)
    good = task.write(problem, "direct", Key.root(0))
    verdicts = judge(
        task.verify, [(good, problem), ("<think>x</think>9**9**9**9", problem), (good, problem)], workers=1
    )
    assert [v.outcome for v in verdicts] == ["right", "timeout", "right"]


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    reasoning_gym._make.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'strop\[tasks\]'"):
        ReasoningGym().problem("train", 0)
