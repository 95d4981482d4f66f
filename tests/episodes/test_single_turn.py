"""One request for each problem; seeds depend on key, problem and sample and on nothing else."""

from strop.backends.torch.sampler import TorchSampler
from strop.episodes.single_turn import SingleTurn
from strop.keys import Key
from strop.tasks import HINTS
from strop.tasks.arithmetic import Arithmetic

TASK = Arithmetic()


def answers(model, problems, samples=2, **fields):
    episode = SingleTurn(max_tokens=12, **fields)
    sampler = TorchSampler(model, slots=4, precision="fp32")
    chosen = [TASK.problem("train", i) for i in problems]
    found = list(episode(chosen, sampler=sampler, task=TASK, samples=samples, key=Key.root(3)))
    return {(t.problem.id, t.sample): t for t in found}


def test_an_attempt_does_not_depend_on_what_else_was_asked(tiny_model):
    model = tiny_model()
    together = answers(model, [0, 1, 2, 3])
    alone = answers(model, [2], samples=1)
    assert together["arithmetic/train/2", 0].tokens.tolist() == alone["arithmetic/train/2", 0].tokens.tolist()
    assert together["arithmetic/train/2", 0].tokens.tolist() != together["arithmetic/train/2", 1].tokens.tolist()


def test_attempts_carry_what_the_learner_needs(tiny_model):
    model = tiny_model()
    for attempt in answers(model, [0, 1]).values():
        assert len(attempt.tokens) == len(attempt.logp) == len(attempt.mask) <= 12
        assert attempt.mask.all()
        assert (attempt.logp <= 0).all()
        assert attempt.text == model.tokenizer.decode(attempt.tokens)
        assert attempt.finish == ("stop" if int(attempt.tokens[-1]) in model.tokenizer.eos_ids else "length")
        assert attempt.prompt_tokens.tolist() == model.tokenizer.prompt(attempt.problem.prompt).tolist()


def test_a_style_is_asked_for_in_a_system_turn(tiny_model):
    attempt = next(iter(answers(tiny_model(), [0], style="long").values()))
    assert [turn.role for turn in attempt.problem.prompt] == ["system", "user"]
    assert attempt.problem.prompt[0].content == HINTS["long"]
