"""Samplers beside a learner: against numbers worked out by hand, a slow loop, and bounds that nothing can beat."""

import json
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from strop.ahead import Ahead
from strop.cli.main import app
from strop.errors import ConfigError
from strop.keys import Key
from strop.models.shapes import config_of
from strop.planning import cluster, plan
from strop.planning.cluster import PROBLEMS, Measured, costs_of
from strop.planning.divided import best, divide, fits, spread_lengths
from strop.planning.machines import KNOWN, machines
from strop.planning.simulate import Costs, Decode, simulate, write
from strop.recipe import override
from strop.recipes.grpo import grpo
from strop.recipes.sft import sft
from strop.scoring import Clock

EVEN = Costs((10,), 8, Decode(weights=0.2), learn=3.0, sync_bytes=4.0, sync_rate=8.0)
"""Two seconds to write, half a second to sync with one sampler, three to learn."""
UNEVEN = Costs(
    (1, 2, 3, 5, 8, 13, 40), 64, Decode(weights=0.01, row=0.002, work=0.003), learn_token=0.004, learn=0.5,
    sync_bytes=1.0, sync_rate=10.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("costs", "staleness", "expected"),
    [
        (EVEN, 0, 2.0 + 0.5 + 3.0),
        (EVEN, 1, 3.0),
        (EVEN, 4, 3.0),
        (replace(EVEN, learn=1.0), 1, 2.0 + 0.5),
        (replace(EVEN, learn=1.0, judge=0.25), 1, 2.0 + 0.5 + 0.25),
        (replace(EVEN, judge=0.25), 0, 2.0 + 0.5 + 3.0 + 0.25),
        # four steps between pauses: one draw and one step of the learner have nothing beside them
        (replace(EVEN, pauses=(4,)), 1, (2.5 + 4 * 3.0) / 4),
        (replace(EVEN, pauses=(4,), learn=1.0), 1, (4 * 2.5 + 1.0) / 4),
        (replace(EVEN, pauses=(1,)), 3, 2.0 + 0.5 + 3.0),
    ],
)
def test_constant_costs_have_a_closed_form(costs, staleness, expected):
    assert simulate(costs, 1, staleness).step == pytest.approx(expected)


def test_what_takes_longest_bounds_it():
    actual = [
        simulate(EVEN, 1, 1).bound,
        simulate(replace(EVEN, learn=1.0), 1, 1).bound,
        simulate(replace(EVEN, learn=1.0, sync_bytes=80.0), 1, 1).bound,
        simulate(replace(EVEN, learn=1.0, judge=9.0), 1, 1).bound,
        # one answer in a hundred is 40 times as long, so every draw waits for one
        simulate(replace(EVEN, learn=1.0, attempts=800, lengths=(10,) * 99 + (400,)), 1, 1).bound,
        simulate(replace(EVEN, learn=2.5), 1, 1).bound,
    ]
    assert actual == ["learning", "sampling", "sync", "judging", "longest answers", "balance"]


def test_seconds_and_shares_of_a_step():
    found = simulate(EVEN, 2, 0)
    # two samplers write half as many answers each, in the same time; the learner sends twice as much
    assert found.seconds == pytest.approx({"sampling": 2.0, "sync": 1.0, "learning": 3.0, "judging": 0.0})
    assert found.step == pytest.approx(6.0)
    assert found.busy == pytest.approx({"samplers": 2.0 / 6.0, "learner": 3.0 / 6.0})
    assert found.tokens == 80
    assert found.stale == 0
    assert found.total == pytest.approx(64 * 6.0)


def test_staleness_rises_after_a_pause():
    assert simulate(EVEN, 1, 2).stale == 2
    # of the steps between two pauses the first is drawn with weights of 0 steps before, the second of 1, the rest of 2
    assert simulate(replace(EVEN, pauses=(4,)), 1, 2).stale == (0 + 1 + 2 + 2) / 4


def test_more_senders_share_a_sync():
    assert [EVEN.sync(s) for s in (1, 4)] == [0.5, 2.0]
    assert [replace(EVEN, senders=2, sync_fixed=0.1).sync(s) for s in (1, 4)] == [0.6, 1.1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 9))
def test_writing_is_token_by_token(lengths, slots):
    """A loop that takes one token at a time, and lets the next answer in when one has ended."""
    costs = replace(UNEVEN, slots=slots)
    going, waiting, expected = [], list(lengths), 0.0
    while going or waiting:
        while waiting and len(going) < slots:
            going.append(waiting.pop(0))
        expected += float(costs.decode(len(going)))
        going = [left - 1 for left in going if left > 1]
    assert write(costs, lengths) == pytest.approx(expected)


def test_with_and_without_waiting_answers_are_drawn_alike():
    """A sampler of just as many slots as answers goes through another way of counting than `write`."""
    few, room = (simulate(replace(UNEVEN, slots=slots), 2, 0, steps=8) for slots in (31, 32))
    assert room.tokens == few.tokens
    assert room.seconds["sampling"] < few.seconds["sampling"] < 1.2 * room.seconds["sampling"]


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 8), st.integers(0, 4), st.floats(0, 0.02), st.floats(0, 2), st.sampled_from([(), (4,), (3, 8)]),
    st.integers(0, 3),
)  # fmt: skip
def test_no_step_is_shorter_than_what_cannot_overlap(samplers, staleness, token, sync, pauses, seed):
    costs, steps = replace(UNEVEN, learn_token=token, sync_bytes=sync, senders=16, pauses=pauses), 24
    found = simulate(costs, samplers, staleness, steps=steps, seed=seed)
    draw = found.seconds["sampling"] + found.seconds["sync"]
    both = draw + found.seconds["learning"]
    if staleness == 0:
        assert found.total == pytest.approx(steps * both)
    assert steps * max(draw, found.seconds["learning"]) - 1e-9 <= found.total <= steps * both + 1e-9
    longer = simulate(costs, samplers, staleness + 1, steps=steps, seed=seed)
    assert longer.total <= found.total + 1e-9
    # every share of a sampler is divided between two: none of them has more to write than before
    more = simulate(costs, 2 * samplers, staleness, steps=steps, seed=seed)
    assert more.total <= found.total + 1e-9
    assert more.tokens == found.tokens
    # up to what the steps at both ends of the window differ by
    assert all(seconds > -0.05 * found.step for seconds in found.saved.values())


def test_a_simulation_repeats_itself():
    assert simulate(UNEVEN, 3, 1, seed=7) == simulate(UNEVEN, 3, 1, seed=7)
    assert simulate(UNEVEN, 3, 1, seed=7) != simulate(UNEVEN, 3, 1, seed=8)


def test_more_samplers_than_answers():
    with pytest.raises(ConfigError, match=r"9 samplers cannot share 8 answers.*--samplers 8"):
        simulate(EVEN, 9, 0)


@pytest.mark.parametrize(("mean", "longest"), [(50, 1000), (500, 1000), (900, 1000), (2048, 8192)])
def test_lengths_have_the_mean_and_the_limit(mean, longest):
    lengths = spread_lengths(mean, longest)
    assert np.mean(lengths) == pytest.approx(mean, rel=0.01)
    assert 1 <= min(lengths) <= max(lengths) <= longest
    # of all with this mean and limit the most random one has a density that falls, or rises, all the way
    counts = np.histogram(lengths, bins=8, range=(0, longest))[0]
    assert (np.diff(counts) <= 1).all() if mean <= longest / 2 else (np.diff(counts) >= -1).all()


def recipe(**settings):
    return override(grpo(), ["heldout.every=0", "checkpoint_every=0", *(f"{k}={v}" for k, v in settings.items())])


def test_one_sampler_takes_what_the_plan_of_one_machine_says():
    """Answers of one length, all at once: what a plan adds up for one machine that does both."""
    config, made = config_of("Qwen2.5-1.5B"), recipe()
    expected = plan(made, config, machines("1xH200")).seconds
    found = divide(made, config, machines("2xH200"), 1, 0)
    assert found.found.seconds["sampling"] == pytest.approx(expected["write"] + expected["read prompts"])
    assert found.found.seconds["learning"] == pytest.approx(expected["learn"] + expected["update"])
    # bf16, over the link of the same host
    assert found.found.seconds["sync"] == pytest.approx(2 * 1_543_714_304 / KNOWN["H200"].link)


def test_weights_cross_the_network_between_hosts():
    config, made = config_of("Qwen2.5-1.5B"), recipe()
    # 56 samplers are sent seven times what each of 8 learners has
    found = divide(made, config, machines("64xH200"), 56, 1)
    assert found.found.seconds["sync"] == pytest.approx(7 * 2 * 1_543_714_304 / KNOWN["H200"].network)


def test_the_best_division_is_the_best_of_all():
    config, made = config_of("Qwen2.5-0.5B"), recipe(**{"stages.0.episode.max_tokens": 512})
    machine = machines("6xH200")
    every = [divide(made, config, machine, samplers, 1) for samplers in range(1, 6)]
    assert all(fits(each) for each in every)
    assert best(made, config, machine, 1).found == min((each.found for each in every), key=lambda each: each.step)


def test_what_does_not_fit_is_no_division():
    config = config_of("Qwen2.5-7B")
    found = best(recipe(token_budget=2048), config, machines("8xA100"), 1)
    # 18 bytes for each of 7.6 billion weights, of which a GPU has 80 GB
    assert found.learner.machine.count >= 2
    assert fits(found)
    with pytest.raises(ConfigError, match=r"No division of 2 x A10 has room for nano.*strop plan"):
        best(recipe(), config, machines("2xA10"), 1)


def test_what_has_nothing_to_sample():
    with pytest.raises(ConfigError, match=r"sft learns from data.*Leave out --samplers"):
        divide(sft(), config_of("nano"), machines("8xH200"), 4, 0)


def test_the_command():
    line = ["plan", "--model", "Qwen2.5-1.5B", "--gpus", "8xH200", "--samplers", "3", "--staleness", "1"]
    said = CliRunner().invoke(app, line)
    assert said.exit_code == 0, said.output
    assert "3 x H200 sample, 5 learn" in said.output
    found = json.loads(CliRunner().invoke(app, [*line, "--json"]).output.splitlines()[-1])
    assert (found["samplers"], found["learners"], found["staleness"]) == (3, 5, 1)
    assert found["sync"] == 2 * 1_543_714_304
    assert found["bound"] in found["saved"] or found["bound"] == "balance"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--samplers", "8"], r"leaves 0 to learn.*--samplers best"),
        (["--samplers", "some"], r"--samplers takes a number from 1 on, or best; got 'some'"),
        (["--staleness", "1"], r"--staleness 1 is for samplers.*--samplers best"),
    ],
)
def test_what_the_command_refuses(words, said):
    found = CliRunner().invoke(app, ["plan", "--model", "Qwen2.5-1.5B", "--gpus", "8xH200", *words])
    assert isinstance(found.exception, ConfigError)
    with pytest.raises(ConfigError, match=said):
        raise found.exception


@pytest.mark.parametrize(("staleness", "every"), [(1, 0), (2, 4), (0, 0)])
def test_the_loop_keeps_the_pace_that_is_simulated(staleness, every):
    """The very queue of a run, with draws and steps that sleep."""
    draw, learn, steps = 0.08, 0.06, 8
    pauses = (every,) if every else ()
    costs = Costs((1,), 1, Decode(weights=draw), learn=learn, pauses=pauses)
    expected = simulate(costs, 1, staleness, steps=steps)
    recipe = SimpleNamespace(
        staleness=staleness, checkpoint_every=every, heldout=SimpleNamespace(every=0),
        stages=[SimpleNamespace(steps=steps)],
    )  # fmt: skip
    weights = SimpleNamespace(version=0)
    engine = SimpleNamespace(task=None, sampler=SimpleNamespace(now=lambda: weights.version))
    stage = SimpleNamespace(problems=1, curriculum=SimpleNamespace(pick=lambda task, memory, n, key: ([], memory)))
    ages = []

    def attempt(stage, engine, version, problems, key, clock):
        time.sleep(draw)
        return [version]

    with closing(Ahead(recipe, engine, attempt)) as ahead:
        started = time.perf_counter()
        for step in range(steps):
            state = SimpleNamespace(step=step, stage=0, curriculum=None)
            [version], _ = ahead(stage, state, Key.root(0), Clock())
            ages.append(step - version)
            time.sleep(learn)
            weights.version += 1
        actual = time.perf_counter() - started
    assert expected.total <= actual < 1.25 * expected.total + 0.1
    # the mean over all steps, which is what a simulation with pauses gives
    if every:
        assert np.mean(ages) == pytest.approx(expected.stale)
    assert max(ages) == min(staleness, steps)


def test_costs_are_read_off_runs():
    """Two runs whose seconds were made from known numbers."""
    random = np.random.Generator(np.random.Philox(key=1))

    def made(problems):
        lengths = random.integers(5, 50, (6, problems * 8))
        longest, tokens = lengths.max(axis=1).astype(float), lengths.sum(axis=1).astype(float)
        draw = 0.02 * longest + 0.001 * tokens + 0.3
        sync = np.full(6, 0.3)
        return Measured(draw, 0.5 + 0.004 * tokens, sync, tokens, longest, tuple(lengths.ravel().tolist()))

    costs = costs_of([made(problems) for problems in PROBLEMS], PROBLEMS[0])
    assert costs.decode.weights == pytest.approx(0.02)
    assert costs.decode.row == pytest.approx(0.001)
    assert (costs.learn, costs.learn_token) == pytest.approx((0.5, 0.004))
    assert costs.sync(1) == pytest.approx(0.3)
    assert costs.attempts == PROBLEMS[0] * 8


def test_the_command_that_checks(monkeypatch):
    """Runs that take just what is known of them: said and seen are the same."""

    def run(samplers, staleness, problems, say):
        say(f"{samplers} {staleness} {problems}")
        lengths = np.full((4, problems * 8), 10)
        draw, rest = np.full(4, 0.1 * 10), 0.01 * lengths.sum(axis=1)
        tokens, sync = lengths.sum(axis=1).astype(float), np.zeros(4)
        return Measured(draw, rest, sync, tokens, np.full(4, 10.0), tuple(lengths.ravel().tolist()))

    monkeypatch.setattr(cluster, "run", run)
    said = CliRunner().invoke(app, ["plan", "--check", "--samplers", "1", "--staleness", "1", "--json"])
    rows = json.loads(said.output.splitlines()[-1])["runs"]
    assert [(row["samplers"], row["staleness"], row["problems"]) for row in rows] == [(1, 0, 16), (1, 0, 4), (1, 1, 16)]
    # 128 answers of 10 tokens: one second to draw them, 12.8 to learn; at a staleness of 1 these overlap
    assert [row["seconds"][0] for row in rows] == pytest.approx([13.8, 4.2, 12.8])
    assert rows[0]["seconds"][1] == pytest.approx(13.8)
    assert "said" in CliRunner().invoke(app, ["plan", "--check", "--samplers", "1"]).output
