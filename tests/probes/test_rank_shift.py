"""Words that training made likely."""

import numpy as np
import torch

from strop.backends.torch.ranks import token_ranks
from strop.probes.rank_shift import RankShift
from strop.records import Group, Problem, Trajectory

PROBLEM = Problem(id="a/train/0", task="a", prompt=(), reference="5")


def attempt(tokens, before, after):
    signals = {"start_rank": np.array(before, dtype=np.float32), "rank": np.array(after, dtype=np.float32)}
    return Trajectory(problem=PROBLEM, sample=0, text="", tokens=np.array(tokens, dtype=np.int32), signals=signals)


def test_by_a_slow_loop():
    random = np.random.default_rng(0)
    rows = [attempt(random.integers(0, 6, 9), random.integers(0, 50, 9), random.integers(0, 5, 9)) for _ in range(8)]
    found = RankShift(top=3, least=2)([Group(PROBLEM, tuple(rows))])
    shifts: dict[int, list[float]] = {}
    for row in rows:
        for token, before, after in zip(row.tokens, row.signals["start_rank"], row.signals["rank"], strict=True):
            shifts.setdefault(int(token), []).append(float(before - after))
    expected = sorted(((np.mean(each), -token) for token, each in shifts.items() if len(each) > 1), reverse=True)[:3]
    assert [(word["shift"], -int(word["word"])) for word in found["words"]] == expected
    assert found["mean"] == np.mean([value for each in shifts.values() for value in each])


def test_rare_words_are_left_out_and_names_are_used():
    rows = (attempt([0, 1, 1], [90, 2, 4], [0, 0, 0]),)
    found = RankShift(least=2, names=("rare", "wait"))([Group(PROBLEM, rows)])
    assert [(word["word"], word["shift"], word["count"]) for word in found["words"]] == [("wait", 3.0, 2)]
    assert RankShift()([])["words"] == []


class Fixed(torch.nn.Module):
    """Logits that depend on the token before alone."""

    device = torch.device("cpu")

    def __init__(self, table):
        super().__init__()
        self.table = torch.tensor(table)

    def forward(self, input_ids, use_cache):
        return type("Output", (), {"logits": self.table[input_ids]})


def test_a_rank_is_the_number_of_likelier_tokens_after_what_stands_before():
    table = [[0.0, 3.0, 2.0], [5.0, 1.0, 4.0], [0.0, 1.0, 2.0]]
    # after 0 comes 2 (one likelier), after 2 comes 0 (two likelier), after 0 comes 1 (none)
    actual = token_ranks(Fixed(table), np.array([1, 0]), np.array([2, 0, 1]))
    assert actual.tolist() == [1, 2, 0]
