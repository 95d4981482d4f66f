"""A learner and two samplers in actors of a real Ray cluster, and one process: the numbers must be the same, also
where actors are killed on the way. Whole runs are in `test_ray_runs.py`.

The cluster is one of this machine; several machines and GPUs are never reached here.
"""

import dataclasses
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from learner_loops import assert_close
from ray_cluster import PATIENCE, TWO, needs_ray, own_cluster
from several import ADAMW, PENALISED, WITH_VALUES, batch_of, small, tiny_folder

from strop.backends.ray import actor as actors
from strop.backends.ray import cluster, limits
from strop.backends.ray.sampler import Pool
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.backends.workers import Workers
from strop.catalogue import load
from strop.decoders._hooks import Distributions, Suppression
from strop.engine import Engine, make_learner, open_engine, open_model
from strop.errors import BackendError, ConfigError, LostProcess
from strop.keys import Key
from strop.models import language_model
from strop.objectives.averages.sequence_mean import SequenceMean
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import Recipe
from strop.recipes.grpo import grpo
from strop.records import Request


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with own_cluster() as there:
        yield there


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> str:
    return tiny_folder(tiny_model, tmp_path_factory)


@pytest.fixture(scope="module")
def recipe(model, tiny_model, tmp_path_factory) -> Recipe:
    """With a value head, which only the learner has, and a teacher."""
    teacher = tiny_folder(tiny_model, tmp_path_factory, seed=7)
    base = grpo("arithmetic", model=model)
    return small(replace(base, teacher=teacher, stages=(replace(base.stages[0], objective=WITH_VALUES),)))


@pytest.fixture(scope="module")
def trio(ray, recipe) -> Iterator[Engine]:
    """A learner and two samplers."""
    with open_engine(recipe, TWO) as engine:
        yield engine


@pytest.fixture(scope="module")
def untrained(trio) -> Any:
    return trio.learner.state()


@pytest.fixture
def learner(trio, untrained) -> Any:
    """The actor's learner, as it was when it was made."""
    trio.learner.restore(untrained)
    return trio.learner


@pytest.fixture
def one(recipe) -> TorchLearner:
    """That of one process."""
    return make_learner(recipe, open_model(recipe), None)


def requests(prompts: int = 5, samples: int = 6, max_tokens: int = 24) -> list[Request]:
    return [
        Request(
            prompt=(np.arange(5) + i) % 59,
            seeds=[Key.root(i).fold(j).uint64() for j in range(samples)],
            max_tokens=max_tokens,
        )
        for i in range(prompts)
    ]


def assert_same_completions(actual: Any, expected: Any) -> None:
    """Each exactly once, in any order."""
    actual, expected = list(actual), {(c.request, c.sample): c for c in expected}
    assert Counter((c.request, c.sample) for c in actual) == Counter(expected.keys())
    for completion in actual:
        other = expected[completion.request, completion.sample]
        assert completion.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_allclose(completion.logp, other.logp, atol=1e-5)


def assert_same_state(actual: Any, expected: Any) -> None:
    assert actual.keys() == expected.keys()
    for part in expected:
        assert_close(actual[part], expected[part], 1e-6)


@needs_ray
@pytest.mark.parametrize(
    ("objective", "average"),
    [(PENALISED, SequenceMean()), (WITH_VALUES, TokenMean())],
    ids=["with_reference", "with_values"],
)
def test_steps_equal_those_of_one_process(objective, average, learner, one):
    for step in range(2):
        actual = dict(learner.step(batch_of(step), objective, average, ADAMW, 1e-3).metrics)
        expected = one.step(batch_of(step), objective, average, ADAMW, 1e-3).metrics
        assert actual == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert_same_state(learner.state(), one.state())


@needs_ray
def test_preparation_and_notes_are_those_of_one_process(learner, one):
    batch = batch_of(0)
    unknown = dataclasses.replace(batch, old_logp=torch.where(batch.mask, torch.nan, 0.0))
    for each in (learner, one):
        each.set_reference()
        each.step(batch, CrossEntropy(), TokenMean(), ADAMW, 1e-2)
    actual, expected = (each.prepare(unknown, PENALISED) for each in (learner, one))
    assert (expected.ref_logp - expected.old_logp).abs().max() > 1e-2
    torch.testing.assert_close(actual.old_logp, expected.old_logp, atol=1e-6, rtol=0)
    torch.testing.assert_close(actual.ref_logp, expected.ref_logp, atol=1e-6, rtol=0)
    needs = ["logp", "entropy", "ref_logp", "value", "greedy"]
    assert_close(learner.call("notes", batch=batch, needs=needs), one.notes(batch, needs), 1e-6)


def learn(learner: Any, step: int = 0) -> Any:
    return learner.step(batch_of(step), CrossEntropy(), TokenMean(), ADAMW, 1e-2)


@needs_ray
def test_samples_follow_what_is_learned_and_a_view_keeps_its_weights(trio, learner, one):
    sampler = TorchSampler(one.model, precision="fp32")
    first = list(sampler.generate(requests()))
    assert_same_completions(trio.sampler.generate(requests()), first)
    view = trio.sampler.now()
    for each in (learner, one):
        learn(each)
    second = list(sampler.generate(requests()))
    assert [c.tokens.tolist() for c in first] != [c.tokens.tolist() for c in second]
    assert_same_completions(trio.sampler.generate(requests()), second)
    # both at a time, from two threads, while the learner learns on
    found: dict[str, Any] = {}
    held = trio.sampler.now()
    threads = [
        threading.Thread(target=lambda n=name, s=s: found.update({n: list(s.generate(requests()))}))
        for name, s in (("view", view), ("held", held))
    ]
    for thread in threads:
        thread.start()
    learn(learner, 1)
    for thread in threads:
        thread.join(PATIENCE)
    assert_same_completions(found["view"], first)
    assert_same_completions(found["held"], second)


@needs_ray
def test_weights_are_synced_once_and_the_report_says_what_it_cost(trio, learner, one):
    learn(learner)
    for _ in range(2):
        list(trio.sampler.generate(requests(2, 2)))
    cost = learn(learner, 1).metrics
    size = sum(weight.numel() for weight in one.net.parameters()) * 4
    assert cost["sync/bytes"] == size
    assert 0 < cost["time/sync"] < 10


@needs_ray
def test_an_error_of_one_actor_is_raised_and_the_others_go_on(trio):
    fine, long = (Request(prompt=np.ones(n, dtype=int), seeds=[1], max_tokens=4) for n in (4, 500))
    with pytest.raises(BackendError, match="500"):
        list(trio.sampler.generate([fine, long]))
    assert len(list(trio.sampler.generate([fine, fine]))) == 2


class Louder:
    """A hook of a user's own."""


@needs_ray
def test_hooks_are_sent_where_nothing_of_them_can_be_lost(trio, learner, one):
    plain = requests(2, 3)
    hook = Suppression(tokens=tuple(range(20, 59)), probability={seed: 0.7 for r in plain for seed in r.seeds})
    hooked = [replace(request, hook=hook) for request in plain]
    sampler = TorchSampler(one.model, precision="fp32")
    expected = list(sampler.generate(hooked))
    assert [c.tokens.tolist() for c in expected] != [c.tokens.tolist() for c in sampler.generate(plain)]
    assert_same_completions(trio.sampler.generate(hooked), expected)
    for other in (Louder(), Distributions()):
        with pytest.raises(BackendError, match=f"{type(other).__name__} changes how tokens are drawn"):
            list(trio.sampler.generate([replace(plain[0], hook=other)]))


@needs_ray
def test_the_teacher_writes_too_and_keeps_its_weights(trio, learner, recipe):
    expected = list(TorchSampler(language_model.load(recipe.teacher), precision="fp32").generate(requests(2, 2)))
    learn(learner)
    assert_same_completions(trio.sampler.teacher.generate(requests(2, 2)), expected)
    assert_same_completions(trio.sampler.now().teacher.generate(requests(2, 2)), expected)


@needs_ray
def test_a_sampler_killed_while_it_draws_is_replaced(trio, learner, one, capfd):
    """What it had handed over by then is not drawn again."""
    for each in (learner, one):
        learn(each)
    many = requests(400, 2, max_tokens=60)
    expected = list(TorchSampler(one.model, precision="fp32").generate(many))
    victim = trio.sampler.pool.actors[0]
    pid = victim.places()[0].pid
    stream = trio.sampler.generate(many)
    actual = [next(stream)]
    while actual[-1].request >= 100:
        actual.append(next(stream))
    # the first hundred are its first piece, of which it has handed over something and is at the rest
    os.kill(pid, signal.SIGKILL)
    actual += stream
    assert_same_completions(actual, expected)
    assert learn(learner, 1).metrics["actors/replaced"] == 1
    assert f"Sampler 1 of 2 was lost and is replaced: its process {pid} on 127.0.0.1 ended." in capfd.readouterr().err


DEADLY = '''
import os, signal
from pathlib import Path
from typing import ClassVar
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.piece import piece

@piece
class Deadly:
    """Ends its process the first time that it sees the second micro-batch."""
    marks: str
    needs: ClassVar = CrossEntropy.needs
    skips_zero_advantage: ClassVar = CrossEntropy.skips_zero_advantage
    whole_groups: ClassVar = CrossEntropy.whole_groups

    def __call__(self, logp, batch):
        Path(self.marks).open("a").write("x")
        if len(Path(self.marks).read_text()) == 2:
            os.write(2, b"going down\\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return CrossEntropy()(logp, batch)

    def log(self, logp, batch):
        return CrossEntropy().log(logp, batch)
'''


@needs_ray
def test_a_learner_killed_in_the_middle_of_a_step_is_replaced(trio, learner, one, tmp_path, capfd):
    """Nothing of the step that was half done stays, and nothing before it is lost or done twice: neither what is in the
    snapshot that `state` made, nor what came after."""
    code = tmp_path / "deadly.py"
    code.write_text(DEADLY)
    objective = load(f"{code}:Deadly", "objectives")(marks=str(tmp_path / "marks"))
    for each in (learner, one):
        each.set_reference()
        learn(each)
        each.state()
        learn(each, 1)
    actual = dict(learner.step(batch_of(2), objective, TokenMean(), ADAMW, 1e-2).metrics)
    marks = (tmp_path / "marks").read_text()
    expected = one.step(batch_of(2), CrossEntropy(), TokenMean(), ADAMW, 1e-2).metrics
    assert len(marks) > 3, "there must have been a second micro-batch, and then all of them again"
    assert actual.pop("actors/replaced") == 1
    assert "Its last words: going down" in capfd.readouterr().err
    assert {name: actual[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert_same_state(learner.state(), one.state())
    assert float(learner.state()["optimizer"]["updates"]) == 3


@needs_ray
def test_what_is_lost_again_and_again_ends_the_run(trio, learner, tmp_path, monkeypatch):
    code = tmp_path / "always.py"
    code.write_text(DEADLY.replace("== 2", ">= 1"))
    objective = load(f"{code}:Deadly", "objectives")(marks=str(tmp_path / "marks"))
    monkeypatch.setattr(actors, "LOSSES", 1)
    with pytest.raises(LostProcess, match="The learner was lost 2 times in a row"):
        learner.step(batch_of(0), objective, TokenMean(), ADAMW, 1e-2)
    assert len((tmp_path / "marks").read_text()) == 2


def opened(workers: Workers) -> None:
    with open_engine(grpo(), workers):
        pass


@pytest.fixture
def no_cluster(monkeypatch) -> None:
    """Not even a running one of these tests."""
    ray = pytest.importorskip("ray", reason='actors need "strop[ray]"')
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("address", "kind", "said"),
    [
        ("127.0.0.1:9", BackendError, "There is no Ray cluster at 127.0.0.1:9 .*ray start --head"),
        ("ray://127.0.0.1:10001", ConfigError, "Ray's client.*--cluster auto"),
        ("slurm", ConfigError, "--cluster must be ray .*got 'slurm'"),
    ],
)
def test_a_cluster_that_cannot_be_reached(address, kind, said, no_cluster):
    with pytest.raises(kind, match=said):
        opened(Workers(cluster=address))


def test_ray_address_names_the_cluster(no_cluster, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(BackendError, match=r"There is no Ray cluster at 127\.0\.0\.1:9"):
        opened(Workers(cluster="ray"))


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match=r"pip install 'strop\[ray\]'"):
        opened(Workers(cluster="ray"))


@pytest.mark.parametrize("name", ["samplers", "learners"])
def test_more_actors_than_cores(name, no_cluster):
    most = limits.cores()
    with pytest.raises(ConfigError, match=f"--{name} {most + 1} .*Next: --{name} {most}"):
        opened(Workers(cluster="ray", **{name: most + 1}))


@needs_ray
def test_a_cluster_that_is_too_small(ray):
    wanted = "has 6 CPUs, and this run has 7 actors.*--samplers and --learners that add up to 6"
    with pytest.raises(ConfigError, match=wanted), cluster.joined("auto", 7):
        pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, None, 2), "--samplers 2 is about a cluster. Next: --cluster ray --samplers 2"),
        ((None, "", None, 2), "--learners 2 is about a cluster. Next: --cluster ray --learners 2"),
        ((2, "ray", None), "--cluster ray and --processes 2 do not go together.*Next: --cluster ray --learners 2"),
    ],
)
def test_options_that_do_not_go_together(given, said):
    with pytest.raises(ConfigError, match=said):
        Workers.of(*given)


@pytest.mark.parametrize(
    ("requests", "samples", "actors", "expected"),
    [
        (8, 3, 1, [24]),
        (8, 3, 2, [12, 12]),
        # whole requests
        (8, 3, 3, [9, 9, 6]),
        # more actors than requests: parts of them
        (1, 50, 2, [25, 25]),
        (3, 8, 4, [6, 6, 6, 6]),
        (2, 1, 4, [1, 1]),
    ],
)
def test_every_actor_gets_a_share_once(requests, samples, actors, expected):
    """No more pieces than actors: nobody waits for the longest answer of one piece to begin another."""
    pool = Pool([object()] * actors, None, None)
    left = deque((i, list(range(samples))) for i in range(requests))
    share = -(-requests * samples // actors)
    pieces = []
    while left:
        pieces.append(pool._cut(left, share).jobs)
    assert [len(piece) for piece in pieces] == expected
    assert [job for piece in pieces for job in piece] == [(i, j) for i in range(requests) for j in range(samples)]
