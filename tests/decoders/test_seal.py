"""Steering by a vector read off traces, against a slow extraction."""

import numpy as np
import pytest
import torch

from strop.decoders.first_finish import FirstFinish
from strop.decoders.seal import Seal
from strop.episodes.single_turn import SingleTurn
from strop.errors import ConfigError
from strop.keys import Key
from tests.decoders.conftest import problem

TRACES = (
    "<think>2+3=5 wait 2+3=5 ok</think>5",
    "<think>9-4=5 check 9-4=5 wait</think>5",
    "<think>1+1=2</think>2",
)


class Written:
    name = "written"

    def size(self, split):
        return len(TRACES)

    def problem(self, split, index):
        return problem(index, str(index))

    def write(self, problem, style, key, slips=0.0):
        assert style == "long"
        return TRACES[int(problem.question)]


class Plain(Written):
    def write(self, problem, style, key, slips=0.0):
        return TRACES[2] if problem.question == "2" else None


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def prepare(seal, sampler, task=None):
    return seal.prepare(sampler=sampler, task=task or Written(), episode=SingleTurn(max_tokens=8), key=Key.root(0))


def test_the_vector_is_the_difference_of_means_at_opening_tokens(tiny):
    sampler = tiny()
    blank = int(sampler.tokenizer.encode(" ")[0])
    doing, doubting = [], []
    for i, trace in enumerate(TRACES):
        prompt = sampler.tokenizer.prompt(problem(i, str(i)).prompt)
        tokens = [*prompt.tolist(), *sampler.tokenizer.encode(trace).tolist()]
        with torch.no_grad():
            states = sampler.model.net(input_ids=torch.tensor([tokens]), output_hidden_states=True).hidden_states[2][0]
        for place in range(len(prompt), len(tokens)):
            if tokens[place] == blank:
                rest = tokens[place + 1 :]
                thought = sampler.tokenizer.decode(np.array(rest[: rest.index(blank)] if blank in rest else rest))
                (doubting if "wait" in thought or "check" in thought else doing).append(states[place].numpy())
    assert len(doing) == 3
    assert len(doubting) == 3
    expected = np.mean(doing, axis=0) - np.mean(doubting, axis=0)
    np.testing.assert_allclose(prepare(Seal(depth=1.0), sampler).vector, expected, atol=1e-5)


def test_no_push_is_plain_sampling_and_a_push_is_not(tiny, draw):
    sampler = tiny()
    plain = draw(FirstFinish(k=5), sampler, budget=5, max_tokens=20)
    still = draw(prepare(Seal(alpha=0.0), sampler), sampler, budget=5, max_tokens=20)
    pushed = draw(prepare(Seal(alpha=9.0, depth=0.0), sampler), sampler, budget=5, max_tokens=20)
    texts = [[t.tokens.tolist() for t in found.attempts] for found in (plain, still, pushed)]
    assert texts[0] == texts[1]
    assert texts[2] != texts[0]
    blank = int(sampler.tokenizer.encode(" ")[0])
    for before, after in zip(texts[0], texts[2], strict=True):
        first = before.index(blank) if blank in before else len(before)
        assert after[: first + 1] == before[: first + 1], "changed before the first separator"


def test_attempts_of_its_own_as_traces(tiny):
    with pytest.raises(ConfigError, match="found no"):
        prepare(Seal(traces="own", reflection=("never",), transition=("never",)), tiny())


def test_traces_without_doubts_are_an_error_that_says_what_to_do(tiny):
    with pytest.raises(ConfigError, match=r"no execution among 1 traces of written.*--set seal.reflection"):
        prepare(Seal(), tiny(), Plain())


def test_it_does_not_draw_before_it_is_prepared(tiny, draw):
    with pytest.raises(ConfigError, match="prepare"):
        draw(Seal(), tiny())


def test_it_is_prepared_once(tiny):
    ready = prepare(Seal(), tiny())
    assert prepare(ready, tiny(1)) is ready
