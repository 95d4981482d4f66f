"""Conversations in four turns, against one conversation at a time and against scripts of what is said."""

import numpy as np
import pytest

from strop.backends.torch.sampler import TorchSampler
from strop.batching import pack, stretches
from strop.episodes.four_stages import FourStages
from strop.episodes.worked_stages import WorkedStages
from strop.keys import Key
from strop.records import Completion, Group, Request, Turn
from strop.tasks.arithmetic import Arithmetic
from strop.tasks.countdown import Countdown
from tests.episodes.likelihood import likelihoods

TASK = Arithmetic()
PROBLEMS = [TASK.problem("train", i) for i in range(4)]
SMALL = FourStages(
    style=None, verify="check", slow="again", summary="so", max_tokens=12, fast_tokens=6, verify_tokens=3
)


def drawn(episode, model, samples=2, problems=PROBLEMS):
    sampler = TorchSampler(model, slots=4, precision="fp32")
    found = episode(problems, sampler=sampler, task=TASK, samples=samples, key=Key.root(3))
    return {(t.problem.id, t.sample): t for t in found}


def loop(sampler, problem, sample):
    """The prompts and the tokens of each turn, where the model's own verdict decides."""
    key, turns, prompts, written = Key.root(3).fold(problem.id, sample), list(problem.prompt), [], []
    for number, (words, most) in enumerate((("check", 6), ("again", 3), ("", 12))):
        prompt = sampler.tokenizer.prompt(turns)
        seed = key.fold("turn", number) if number else key
        [done] = sampler.generate([Request(prompt=prompt, seeds=[seed.uint64()], max_tokens=most)])
        said = sampler.tokenizer.decode(done.tokens)
        prompts.append(prompt.tolist())
        written.append(done.tokens.tolist())
        turns += [Turn("assistant", said), Turn("user", words)]
        if number == 1 and said.rpartition("</think>")[2].strip().startswith("yes"):
            break
    return prompts, written


def test_against_one_turn_after_another(tiny_model):
    model = tiny_model()
    sampler = TorchSampler(model, slots=1, precision="fp32")
    found = drawn(SMALL, model)
    assert len(found) == 8
    for (name, sample), attempt in found.items():
        prompts, written = loop(sampler, next(p for p in PROBLEMS if p.id == name), sample)
        rows = stretches(attempt)
        assert [row.prompt_tokens.tolist() for row in rows] == prompts
        assert [row.tokens.tolist() for row in rows] == written
        assert attempt.answers == tuple(model.tokenizer.decode(np.array(turn)) for turn in written)
        assert attempt.mask.all()


def test_each_token_was_as_likely_as_it_says_in_its_own_turn(tiny_model):
    model = tiny_model()
    for attempt in drawn(SMALL, model, samples=1).values():
        for row in stretches(attempt):
            assert row.logp.tolist() == pytest.approx(likelihoods(model, row), abs=1e-4)


def test_an_attempt_does_not_depend_on_what_else_was_asked(tiny_model):
    model = tiny_model()
    together, alone = drawn(SMALL, model), drawn(SMALL, model, samples=1, problems=PROBLEMS[2:3])
    name = PROBLEMS[2].id, 0
    assert together[name].tokens.tolist() == alone[name].tokens.tolist()


class Scripted:
    """Says, whatever it is asked, what the script has for that turn of the conversation."""

    context = 10_000

    def __init__(self, *script):
        self.script, self.tokenizer, self.asked = script, self, []

    def prompt(self, turns):
        self.asked.append([(turn.role, turn.content) for turn in turns])
        return np.frombuffer("|".join(turn.content for turn in turns).encode(), dtype=np.uint8).astype(np.int64)

    def decode(self, tokens):
        return bytes(tokens.astype(np.uint8)).decode()

    def generate(self, requests):
        for i, request in reversed(list(enumerate(requests))):
            said = self.script[self.decode(request.prompt).count("|") // 2].encode()[: request.max_tokens]
            tokens = np.frombuffer(said, dtype=np.uint8).astype(np.int64)
            for sample in range(len(request.seeds)):
                yield Completion(request=i, sample=sample, tokens=tokens, logp=np.zeros(len(tokens)), finish="stop")


def scripted(script, **fields):
    sampler = Scripted(*script)
    talk = FourStages(style=None, max_tokens=99, fast_tokens=99, verify_tokens=99, **fields)
    return list(talk(PROBLEMS[:1], sampler=sampler, task=TASK, samples=1, key=Key.root(0))), sampler


RIGHT, WRONG = PROBLEMS[0].reference, "0"


@pytest.mark.parametrize(
    ("decides", "script", "turns", "answer"),
    [
        ("truth", (RIGHT, "yes", "-", "-"), 2, 0),
        ("truth", (RIGHT, "no", "-", "-"), 2, 0),
        ("truth", (WRONG, "no", WRONG, "-"), 3, 2),
        ("truth", (WRONG, "no", RIGHT, WRONG), 4, 2),
        ("truth", (WRONG, "<think>hm</think>Yes", RIGHT, RIGHT), 4, 0),
        ("verdict", (RIGHT, "yes", "-", "-"), 2, 0),
        ("verdict", (RIGHT, "no", WRONG, "-"), 3, 2),
        ("verdict", (WRONG, "yes", "-", "-"), 2, 0),
        ("verdict", (WRONG, "perhaps", RIGHT, "-"), 3, 2),
        ("verdict", (WRONG, "<think>yes", RIGHT, "-"), 3, 2),
    ],
)
def test_which_turns_there_are_and_which_one_answers(decides, script, turns, answer):
    [attempt], _ = scripted(script, decides=decides)
    assert attempt.answers == script[:turns]
    assert attempt.text == script[answer]
    assert "".join(map(chr, attempt.tokens)) == "".join(script[:turns])


def test_the_conversation_that_is_read():
    _, sampler = scripted((WRONG, "no", RIGHT, RIGHT), decides="truth", verify="v?", slow="s?", summary="u?")
    question = ("user", PROBLEMS[0].question)
    expected = [question, ("assistant", WRONG), ("user", "v?"), ("assistant", "no"), ("user", "s?")]
    assert sampler.asked[-1] == [*expected, ("assistant", RIGHT), ("user", "u?")]


def test_a_teacher_reads_the_question_alone_before_the_summary_and_the_conversation_elsewhere():
    [attempt], _ = scripted((WRONG, "no", RIGHT, RIGHT), decides="truth")
    batch, _ = pack([Group(attempt.problem, (attempt,))], None)
    read = ["".join(map(chr, prompt)) for prompt in batch.teacher_prompts]
    own = ["".join(map(chr, prompt)) for prompt in batch.prompts]
    assert read == [*own[:3], PROBLEMS[0].question]
    assert own[3] != read[3]


def test_a_conversation_that_fills_the_context_ends_there(tiny_model):
    model = tiny_model(max_position_embeddings=30)
    attempts = drawn(FourStages(style=None, verify="check", slow="again", max_tokens=90, verify_tokens=9), model)
    assert {len(attempt.answers) for attempt in attempts.values()} <= {1, 2, 3}
    assert any(len(attempt.answers) == 1 for attempt in attempts.values())
    for attempt in attempts.values():
        assert all(len(row.prompt_tokens) + len(row.tokens) <= 30 for row in stretches(attempt))


@pytest.mark.parametrize("task", [TASK, Countdown()])
def test_worked_conversations_are_what_the_episode_would_ask(task, tokenizer):
    class Source:
        pass

    sampler = Source()
    sampler.tokenizer = tokenizer
    problems = [task.problem("train", i) for i in range(40)]
    shown = list(WorkedStages(base=SMALL)(problems, sampler=sampler, task=task, samples=1, key=Key.root(0)))
    assert 8 < sum(len(t.answers) == 4 for t in shown) < 32
    for attempt in shown:
        outcomes = [task.verify(text, attempt.problem).outcome for text in attempt.answers]
        right = outcomes[0] == "right"
        word, last = "yes" if right else "no", attempt.answers[0].partition("</think>")[0].rpartition(" ")[2]
        assert attempt.answers[1] == f"<think>{last.removeprefix('<think>')} {word}</think> {word}"
        assert len(outcomes) == (2 if right else 4)
        assert outcomes[2:] == ([] if right else ["right", "right"])
        assert task.verify(attempt.text, attempt.problem).outcome == "right"
        rows = stretches(attempt)
        assert [row.mask.all() for row in rows] == [right, *[True] * (len(rows) - 1)]
        assert [row.mask.any() for row in rows] == [right, *[True] * (len(rows) - 1)]
        for number, row in enumerate(rows):
            expected = tokenizer.prompt(SMALL.ask(attempt.problem, attempt.answers[:number]))
            assert row.prompt_tokens.tolist() == expected.tolist()
            assert row.tokens.tolist() == [*tokenizer.encode(attempt.answers[number]).tolist(), tokenizer.end_id]
