"""Forked thoughts against one request at a time; what each part reads, what it may cost, and where it ends."""

import numpy as np
import pytest

from strop.backends.torch.sampler import TorchSampler
from strop.batching import stretches
from strop.episodes._until import until
from strop.episodes.parallel_paths import ParallelPaths
from strop.episodes.single_turn import SingleTurn
from strop.keys import Key
from strop.records import Completion, Request
from strop.tasks.arithmetic import Arithmetic
from tests.episodes.likelihood import likelihoods

TASK = Arithmetic()
PROBLEMS = [TASK.problem("train", i) for i in range(4)]
TAGS = ("no", "a", "b", "c", "d", "e")
SMALL = ParallelPaths(max_tokens=40, path_tokens=6, blocks=2, tags=TAGS)


def drawn(episode, model, samples=2, problems=PROBLEMS):
    sampler = TorchSampler(model, slots=4, precision="fp32")
    found = episode(problems, sampler=sampler, task=TASK, samples=samples, key=Key.root(3))
    return {(t.problem.id, t.sample): t for t in found}


def loop(sampler, problem, sample):
    """Prompts and tokens of each part of an attempt of `SMALL`, one request after another; its tags are one token."""
    tokenizer, key = sampler.tokenizer, Key.root(3).fold(problem.id, sample)
    no, a, b, c, d, _ = (tokenizer.encode(tag).tolist() for tag in TAGS)

    def ask(prompt, own, most, stop):
        request = Request(prompt=np.array(prompt), seeds=[own.uint64()], max_tokens=most, stop=stop)
        [done] = sampler.generate([request])
        return done.tokens.tolist()

    read, prompts, written = tokenizer.prompt(problem.prompt).tolist(), [], []
    for block in range(3):
        own = key.fold("block", block, 0) if block else key
        left = 40 - sum(map(len, written))
        prompts.append(read)
        written.append(ask(read, own, left, no if block < 2 else []))
        read = read + written[-1]
        left = 40 - sum(map(len, written))
        if block == 2 or written[-1][-1] != no[0] or left <= 2:
            return prompts, written, read
        paths = [ask(read + a, key.fold("path", block, k), min(6, left // 2), b) for k in range(2)]
        for path in paths:
            prompts.append(prompts[-1] if path is paths[1] else read + a)
            written.append(path)
        for path in paths:
            kept = path[:-1] if path[-1] in tokenizer.eos_ids else path
            read = read + a + kept + ([] if kept[-1:] == b else b)
        read = read + c + d
        if sum(map(len, written)) >= 40:
            return prompts, written, read
    raise AssertionError("unreachable")


def test_against_one_request_after_another(tiny_model):
    model = tiny_model()
    sampler = TorchSampler(model, slots=1, precision="fp32")
    found = drawn(SMALL, model, samples=8)
    assert len(found) == 32
    blocks = []
    for (name, sample), attempt in found.items():
        problem = next(p for p in PROBLEMS if p.id == name)
        prompts, written, read = loop(sampler, problem, sample)
        rows = stretches(attempt)
        assert [row.prompt_tokens.tolist() for row in rows] == prompts
        assert [row.tokens.tolist() for row in rows] == written
        assert attempt.text == model.tokenizer.decode(np.array(read[len(prompts[0]) :]))
        assert attempt.mask.all()
        assert len(attempt.tokens) <= 40
        blocks.append(len(rows) // 3)
    assert {0, 1} < set(blocks), "too few attempts fork for this to test anything"


def test_each_token_was_as_likely_as_it_says_in_its_own_context(tiny_model):
    model = tiny_model()
    for attempt in drawn(SMALL, model, samples=2).values():
        for row in stretches(attempt):
            assert row.logp.tolist() == pytest.approx(likelihoods(model, row), abs=1e-4)


def test_paths_are_drawn_from_the_same_prefix_and_differ(tiny_model):
    forked = [rows for t in drawn(SMALL, tiny_model(), samples=8).values() if len(rows := stretches(t)) > 3]
    assert len(forked) > 4
    assert all(rows[1].prompt_tokens.tolist() == rows[2].prompt_tokens.tolist() for rows in forked)
    assert sum(rows[1].tokens.tolist() != rows[2].tokens.tolist() for rows in forked) > len(forked) // 2


def test_without_a_block_it_is_a_single_turn_token_for_token(tiny_model):
    model = tiny_model()
    found, plain = drawn(SMALL, model, samples=8), drawn(SingleTurn(max_tokens=40), model, samples=8)
    alone = [name for name, t in found.items() if not t.contexts and "no" not in t.text]
    assert len(alone) > 2
    for name in alone:
        assert found[name].tokens.tolist() == plain[name].tokens.tolist()
        assert (found[name].text, found[name].finish) == (plain[name].text, plain[name].finish)


def test_an_attempt_does_not_depend_on_what_else_was_asked(tiny_model):
    model = tiny_model()
    together, alone = drawn(SMALL, model, samples=3), drawn(SMALL, model, samples=3, problems=PROBLEMS[2:3])
    for sample in range(3):
        name = PROBLEMS[2].id, sample
        assert together[name].tokens.tolist() == alone[name].tokens.tolist()


def test_nothing_is_read_beyond_the_context(tiny_model):
    model = tiny_model(max_position_embeddings=40)
    attempts = drawn(ParallelPaths(max_tokens=200, path_tokens=20, tags=TAGS), model, samples=8).values()
    assert any(t.contexts for t in attempts)
    for attempt in attempts:
        assert all(len(row.prompt_tokens) + len(row.tokens) <= 40 for row in stretches(attempt))
        assert all(len(row.tokens) for row in stretches(attempt))


class Scripted:
    """Says what comes next in its script, whatever it is asked; tokens are letters, `!` ends a turn."""

    context, eos_ids = 999, frozenset([ord("!")])

    def __init__(self, *script):
        self.script, self.tokenizer, self.read = list(script), self, []

    def prompt(self, turns):
        return np.array([ord("?")])

    def encode(self, text):
        return np.array([ord(c) for c in text], dtype=np.int64)

    def decode(self, tokens):
        return "".join(map(chr, tokens)).replace("!", "")

    def generate(self, requests):
        for i, request in enumerate(requests):
            for sample in range(len(request.seeds)):
                said = self.script.pop(0)
                self.read.append(self.decode(request.prompt))
                ends = [k for k, c in enumerate(said, 1) if ord(c) in (*request.stop, ord("!"))]
                size = min([request.max_tokens, *ends, len(said)])
                tokens = self.encode(said[:size])
                finish = "stop" if size in ends else "length"
                yield Completion(request=i, sample=sample, tokens=tokens, logp=np.zeros(size), finish=finish)


LONG = ("<P>", "<p>", "</p>", "</P>", "<s>", "</s>")


def said(*script, tags=LONG, **fields):
    sampler = Scripted(*script)
    episode = ParallelPaths(tags=tags, **fields)
    [attempt] = episode(PROBLEMS[:1], sampler=sampler, task=TASK, samples=1, key=Key.root(0))
    return attempt, sampler


def test_tags_of_several_tokens_and_other_texts_that_end_like_them():
    attempt, sampler = said("1>", "2<P>", "3>", "4</p>", "5</p>", "6</s>", "7!")
    assert attempt.text == "1>2<P><p>3>5</p><p>4</p></P><s>6</s>7"
    assert sampler.read == [
        "?", "?1>", "?1>2<P><p>", "?1>2<P><p>", "?1>2<P><p>3>",
        "?1>2<P><p>3>5</p><p>4</p></P><s>", "?1>2<P><p>3>5</p><p>4</p></P><s>6</s>",
    ]  # fmt: skip
    assert "".join(map(chr, attempt.tokens)) == "1>2<P>3>5</p>4</p>6</s>7!"
    assert [context.start for context in attempt.contexts] == [6, 13, 18]
    assert attempt.finish == "stop"


def test_a_path_that_ends_otherwise_is_closed_for_what_follows():
    attempt, _ = said("<P>", "3!", "44444444", "7!", path_tokens=5)
    assert attempt.text == "<P><p>3</p><p>44444</p></P><s>7"
    assert "".join(map(chr, attempt.tokens)) == "<P>3!444447!"


@pytest.mark.parametrize("blocks", [1, 2])
def test_only_so_many_blocks_are_filled(blocks):
    attempt, _ = said(*["<P>", "1</p>", "2</p>"] * blocks, "<P>8!", blocks=blocks)
    assert attempt.text == "<P><p>1</p><p>2</p></P><s>" * blocks + "<P>8"


@pytest.mark.parametrize("most", range(1, 24))
def test_paths_count_in_the_budget(most):
    attempt, _ = said("1<P>", "2</p>", "3</p>", "4567890!", max_tokens=most)
    assert len(attempt.tokens) <= most
    assert (attempt.finish == "stop") == (most >= 22)


def test_a_block_without_end_costs_no_more_than_the_budget():
    attempt, sampler = said(*["<P>", "1</p>", "2</p>"] * 100, blocks=50, max_tokens=60)
    assert len(attempt.tokens) <= 60
    assert len(sampler.read) < 40


def test_until_gives_what_is_asked_for_in_the_places_it_was_asked():
    sampler = Scripted("ab>", "c<P>", "d!", "<P>", "e>", "f")
    asked = [Request(prompt=np.array([63]), seeds=seeds, max_tokens=6) for seeds in ([1, 2], [3])]
    parts = until(asked, "<P>", sampler)
    texts = [["".join(map(chr, part.tokens)) for part in each] for each in parts]
    assert texts == [["ab><P>", "c<P>"], ["d!"]]
    assert [[(part.tagged, part.finish) for part in each] for each in parts] == [
        [(True, "stop"), (True, "stop")],
        [(False, "stop")],
    ]
