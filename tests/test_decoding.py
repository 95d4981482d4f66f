"""Decoders at equal budgets, on the bundled model and on what can be counted by hand."""

import json

import numpy as np
import pytest

from strop.decoders.best_of_n import BestOfN
from strop.decoders.first_finish import FirstFinish
from strop.decoders.majority import Majority
from strop.decoding import MEASURES, PLAIN, SUBSAMPLES, evaluate_decoders, write_page
from strop.episodes.single_turn import SingleTurn
from strop.errors import ConfigError
from strop.keys import Key
from strop.records import Completion
from strop.tasks.arithmetic import Arithmetic

TASK = Arithmetic(levels=(2,))


class Told:
    """A sampler whose sample s at a problem answers `said[s]`, with as many nines before it as it is long."""

    context, teacher = 10_000, None

    def __init__(self, said):
        self.said = said
        self.tokenizer = self

    eos_ids = frozenset({0})

    def prompt(self, turns):
        return np.array([ord(c) for c in turns[-1].content])

    def decode(self, tokens):
        return "".join(chr(token) for token in tokens if token)

    def generate(self, requests):
        for number, request in enumerate(requests):
            question = self.decode(request.prompt)
            for sample in range(len(request.seeds)):
                text, logp = self.said(question, sample)
                tokens = np.array([*map(ord, text), 0])
                yield Completion(request=number, sample=sample, tokens=tokens, finish="stop",
                                 logp=np.full(len(tokens), logp, dtype=np.float32))  # fmt: skip


def right(question):
    return str(eval(question))


def row(result, name, budget):
    return next(r for r in result["tasks"][0]["rows"] if (r["decoder"], r["budget"]) == (name, budget))


def test_numbers_by_hand():
    """Two of three attempts are right, the wrong one is the likeliest and the shortest."""

    def said(question, sample):
        return ("1", -0.1) if sample == 1 else (f"<think>x</think>{right(question)}", -1.0)

    deciders = {"majority": Majority(), "best": BestOfN(), "first": FirstFinish()}
    result = evaluate_decoders(Told(said), [TASK], deciders, [3], problems=6)
    lengths = np.array([[len(said(TASK.problem("heldout", i).question, s)[0]) + 1 for s in range(3)] for i in range(6)])
    assert row(result, PLAIN, 1)["accuracy"] == pytest.approx(2 / 3)
    assert row(result, PLAIN, 1)["tokens"] == pytest.approx(lengths.mean())
    assert row(result, "majority", 3)["accuracy"] == 1.0
    assert row(result, "majority", 3)["tokens"] == pytest.approx(lengths.sum(axis=1).mean())
    assert row(result, "majority", 3)["longest"] == pytest.approx(lengths.max(axis=1).mean())
    assert row(result, "best", 3)["accuracy"] == 0.0
    assert row(result, "first", 3)["accuracy"] == 0.0
    assert row(result, "first", 3)["tokens"] == 6.0
    assert row(result, "first", 3)["longest"] == 2.0
    score = [0.0 if s == 1 else 1.0 for s in range(3)] * 6
    assert result["tasks"][0]["length_correctness"] == pytest.approx(np.corrcoef(lengths.ravel(), score)[0, 1])


def test_smaller_budgets_are_averaged_over_subsamples():
    """Right answers all differ in what they are worth; the mean over subsamples is near the exact share."""

    def said(question, sample):
        return (right(question) if sample < 4 else "1", -0.1)

    result = evaluate_decoders(Told(said), [TASK], {"majority": Majority()}, [1, 8], problems=40)
    # one of eight at random is right in half of the cases
    spread = 4 * np.sqrt(0.25 / (40 * SUBSAMPLES))
    assert row(result, "majority", 1)["accuracy"] == pytest.approx(0.5, abs=spread)
    assert row(result, "majority", 8)["accuracy"] == 1.0


def test_scores_come_from_a_reward_that_saw_no_verdict():
    class Longest:
        def __call__(self, group):
            assert all(t.verdict is None for t in group.trajectories)
            return np.array([float(len(t.text)) for t in group.trajectories])

    def said(question, sample):
        return ("1", -0.1) if sample == 1 else (f"<think>x</think>{right(question)}", -1.0)

    result = evaluate_decoders(Told(said), [TASK], {"best": BestOfN()}, [3], problems=4, scorer=Longest())
    assert row(result, "best", 3)["accuracy"] == 1.0


def test_an_answer_that_cannot_be_given_is_wrong_and_counted():
    result = evaluate_decoders(Told(lambda q, s: ("what", -1.0)), [TASK], {"majority": Majority()}, [2], problems=3)
    assert row(result, "majority", 2)["unanswered"] == 1.0
    assert row(result, "majority", 2)["accuracy"] == 0.0


def test_the_result_is_json_and_repeats_itself():
    def said(question, sample):
        return (right(question) if Key.root(0).fold(question, sample).random().random() < 0.5 else "1", -0.1)

    deciders = {"majority": Majority(), "first": FirstFinish()}
    first, second = (evaluate_decoders(Told(said), [TASK], deciders, [2, 4], problems=5) for _ in range(2))
    assert json.loads(json.dumps(first)) == second
    assert set(MEASURES) <= set(row(first, "first", 4))


def test_a_style_is_asked_for_once():
    seen = []

    def said(question, sample):
        return ("1", -0.1)

    told = Told(said)
    told.prompt = lambda turns: seen.append([t.role for t in turns]) or np.array([ord("1")])
    evaluate_decoders(told, [TASK], {"f": FirstFinish()}, [1], problems=1, episode=SingleTurn(style="direct"))
    assert seen
    assert all(roles == ["system", "user"] for roles in seen)


def test_budgets_start_at_one():
    with pytest.raises(ConfigError, match="from 1"):
        evaluate_decoders(Told(None), [TASK], {"majority": Majority()}, [0])


def test_the_page_holds_the_numbers_and_escapes_names(tmp_path):
    result = {"model": "</script><b>x", "max_tokens": 9} | evaluate_decoders(
        Told(lambda q, s: ("1", -1.0)), [TASK], {"</script>": Majority()}, [2], problems=2
    )
    write_page(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "</script><b>" not in page
    assert page.count("</script>") == 3
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["tasks"] == result["tasks"]
