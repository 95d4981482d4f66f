"""Which tokens tell right attempts from wrong ones."""

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from strop.advantages.credit import _tokens
from strop.piece import piece
from strop.records import Float, Group, Int, Trajectory, np


@piece
class KeyTokens:
    r"""Adds to each token's advantage how closely the token goes with being right in its group: key-token estimation.

    .. math:: A_{i,t} = A_i + s\,(2\sigma(K_v) - 1), \qquad K_v = \frac{a\,F_v + b\,IG_v}{a + b}\, z_v

    For each token id v, from how many right and wrong attempts have it: F = exp(-2 p) with the two-sided p of Fisher's
    exact test (0 where p = 1), IG the information that having it gives on being right (bits), and the direction

    .. math:: z_v = \arcsin\sqrt{q_r} - \arcsin\sqrt{q_w} + \frac{TF_r}{TF_w + 10^{-5}} - \frac{TF_w}{TF_r + 10^{-5}}

    with q the shares of right and wrong attempts that have it and TF = f (k+1) / (f + k (1 - c + c N / \bar N)) of its
    frequency f among the N tokens of right or wrong attempts. Groups all right or all wrong stay as they are.

    Source: KTAE, arXiv:2505.16826, section 3; code xiaolizh1/KTAE.

    Departures: an attempt is right by its verdict, in the code by a positive reward. The code exempts the end-of-text
    id; here that is whatever id finished attempts end with. Added weights have no zero mean, as in the code. Fisher's
    p is exact here; the code computes it in single precision, which often takes a p of 1 for less.

    >>> from strop.records import Problem, Verdict
    >>> problem = Problem(id="a/train/0", task="a", prompt=(), reference="5")
    >>> rows = [([5, 4, 1], "right", 1.0), ([6, 4, 1], "wrong", -1.0)]
    >>> attempts = (Trajectory(problem=problem, sample=i, text="", tokens=np.array(tokens), verdict=Verdict(outcome),
    ...     advantage=advantage) for i, (tokens, outcome, advantage) in enumerate(rows))
    >>> [group] = KeyTokens()([Group(problem, tuple(attempts))])  # 4 says nothing, 5 and 6 everything
    >>> [t.credit.tolist() for t in group.trajectories]
    [[2.0, 1.0, 1.0], [-2.0, -1.0, -1.0]]
    """

    fisher: Annotated[float, Field(ge=0)] = 1.0
    """Weight a of Fisher's test."""
    gain: Annotated[float, Field(ge=0)] = 1.0
    """Weight b of the information gain."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Largest weight s a token can have, in units of the advantage."""
    saturation: Annotated[float, Field(gt=0)] = 2.0
    """k: where a frequency stops counting."""
    by_length: Annotated[float, Field(ge=0, le=1)] = 0.5
    """c: how far the lengths of right and wrong attempts are taken into account."""

    needs: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _weighs_something(self) -> "KeyTokens":
        if self.fisher + self.gain == 0:
            raise ValueError("fisher and gain must not both be 0: every token would weigh 0")
        return self

    def __call__(self, scored: Sequence[Group]) -> list[Group]:
        return [self._with_weights(group) for group in scored]

    def _with_weights(self, group: Group) -> Group:
        attempts = [t for t in group.trajectories if _tokens.counts(t)]
        right = [_written(t) for t in attempts if t.verdict is not None and t.verdict.outcome == "right"]
        wrong = [_written(t) for t in attempts if t.verdict is None or t.verdict.outcome != "right"]
        if not right or not wrong:
            return group
        ids, weights = self._weights(right, wrong)
        weights[np.isin(ids, [_written(t)[-1] for t in attempts if t.finish == "stop"])] = 0.0
        return _tokens.assign([group], [t.advantage + weights[np.searchsorted(ids, _written(t))] for t in attempts])[0]

    def _weights(
        self, right: Sequence[Int[np.ndarray, " W"]], wrong: Sequence[Int[np.ndarray, " W"]]
    ) -> tuple[Int[np.ndarray, " V"], Float[np.ndarray, " V"]]:
        """The ids that occur, sorted, and the weight of each."""
        ids = np.unique(np.concatenate([*right, *wrong]))
        a, b = (sum(np.isin(ids, each).astype(int) for each in side) for side in (right, wrong))
        tables: Any = zip(np.asarray(a).tolist(), np.asarray(b).tolist(), strict=True)
        telling = np.array([self._telling(x, y, len(right), len(wrong)) for x, y in tables])
        direction = np.arcsin(np.sqrt(a / len(right))) - np.arcsin(np.sqrt(b / len(wrong)))
        mean = (sum(map(len, right)) + sum(map(len, wrong))) / 2
        often, seldom = (self._frequency(ids, np.concatenate(side), mean) for side in (right, wrong))
        direction = direction + often / (seldom + 1e-5) - seldom / (often + 1e-5)
        return ids, self.scale * np.tanh(telling * direction / 2)

    def _telling(self, a: int, b: int, right: int, wrong: int) -> float:
        p = fisher_p(a, b, right, wrong)
        test = math.exp(-2 * p) if p < 1 else 0.0
        return (self.fisher * test + self.gain * information(a, b, right, wrong)) / (self.fisher + self.gain)

    def _frequency(
        self, ids: Int[np.ndarray, " V"], side: Int[np.ndarray, " W"], mean: float
    ) -> Float[np.ndarray, " V"]:
        share = np.bincount(np.searchsorted(ids, side), minlength=len(ids)) / len(side)
        k = self.saturation * (1 - self.by_length + self.by_length * len(side) / mean)
        return share * (self.saturation + 1) / (share + k)


def _written(attempt: Trajectory) -> Int[np.ndarray, " W"]:
    assert attempt.tokens is not None
    return attempt.tokens[_tokens.mask(attempt)]


@functools.lru_cache(maxsize=1 << 16)
def fisher_p(a: int, b: int, right: int, wrong: int) -> float:
    """The two-sided p of Fisher's exact test: `a` of `right` attempts and `b` of `wrong` ones have a token.

    >>> fisher_p(3, 1, 4, 4), fisher_p(2, 0, 2, 2)  # 34 / 70 and 2 / 6
    (0.4857142857142857, 0.3333333333333333)
    """
    having = a + b
    ways = [
        math.comb(right, k) * math.comb(wrong, having - k)
        for k in range(max(0, having - wrong), min(right, having) + 1)
    ]
    seen = math.comb(right, a) * math.comb(wrong, b)
    return sum(each for each in ways if each <= seen) / math.comb(right + wrong, having)


@functools.lru_cache(maxsize=1 << 16)
def information(a: int, b: int, right: int, wrong: int) -> float:
    """Bits that having the token or not gives on being right.

    >>> information(2, 0, 2, 2), information(1, 1, 2, 2)
    (1.0, 0.0)
    """

    def entropy(x: int, y: int) -> float:
        return -sum(n / (x + y) * math.log2(n / (x + y)) for n in (x, y) if n)

    total, c, d = right + wrong, right - a, wrong - b
    return entropy(right, wrong) - ((a + b) * entropy(a, b) + (c + d) * entropy(c, d)) / total
