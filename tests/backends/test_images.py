"""Images in prompts: the same numbers as transformers' own forward pass, in the sampler and in the learner."""

import dataclasses

import numpy as np
import pytest
import torch

from strop.backends.http.conversations import ByteTokenizer, ConversationTokenizer
from strop.backends.http.sampler import HttpSampler
from strop.backends.http.server import Server
from strop.backends.requests import check
from strop.backends.torch.learner import TorchLearner
from strop.backends.torch.sampler import TorchSampler
from strop.batching import pack, select
from strop.episodes.from_data import FromData
from strop.errors import BackendError
from strop.keys import Key
from strop.models import nano, small_vision
from strop.models.vision import Vision
from strop.objectives.averages.token_mean import TokenMean
from strop.objectives.supervised.cross_entropy import CrossEntropy
from strop.recipe import AdamW
from strop.records import Group, Request
from tests.backends.seeing import TASK, batch_of, idefics3, llava, own_logp, problem, problems

KINDS = {"llava": llava, "idefics3": idefics3}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def seeing():
    return llava()


def loop(model, batch, asked):
    """Row by row, by transformers alone."""
    found = torch.zeros(batch.mask.shape)
    for row in range(len(batch)):
        size = int(batch.mask[row].sum())
        found[row, :size] = own_logp(model, asked[row // 2], batch.tokens[row, :size].numpy())
    return found


@pytest.mark.parametrize("way", ["packed", "modules", "split", "turned"])
def test_rows_in_a_batch_are_what_transformers_says_of_each_alone(model, way):
    asked = problems()
    batch = batch_of(model, asked)
    expected = loop(model, batch, asked)
    learner = TorchLearner(model, token_budget=200 if way == "split" else 16384)
    if way == "modules":
        learner.scorer.packed = None
    rows = list(range(len(batch)))[:: -1 if way == "turned" else 1]
    torch.testing.assert_close(learner.logp(select(batch, rows)), expected[rows], atol=2e-5, rtol=1e-5)


def test_both_ways_give_the_same_gradients(seeing):
    batch = batch_of(seeing, problems(), seed=1)
    found = []
    for packed in (True, False):
        learner = TorchLearner(seeing)
        if not packed:
            learner.scorer.packed = None
        learner.masters.gather(learner.scorer(batch, ()).logp.sum())
        found.append(dict(zip(learner.masters.names, (g.clone() for g in learner.masters.grads), strict=True)))
    for name, expected in found[1].items():
        torch.testing.assert_close(found[0][name], expected, atol=2e-4 * float(expected.abs().max()) + 1e-6, rtol=1e-3)
    tower = found[0]["model.vision_tower.embeddings.patch_embedding.weight"]
    assert float(tower.abs().max()) > 0


def test_rows_of_a_group_with_other_images_share_nothing(seeing):
    one, other = (TASK.problem("train", index).images[:1] for index in (0, 1))
    batch = batch_of(seeing, [problem(one), problem(other)], seed=2)
    expected = TorchLearner(seeing).logp(batch)
    # the prompts are the same tokens, so that only the images keep them apart
    together = dataclasses.replace(batch, group=torch.zeros_like(batch.group))
    torch.testing.assert_close(TorchLearner(seeing).logp(together), expected, atol=1e-5, rtol=1e-5)
    turned = dataclasses.replace(batch, images=batch.images[::-1])
    assert (TorchLearner(seeing).logp(turned) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("path", ["own", "waves"])
def test_sampler_and_learner_agree(model, path):
    asked = problems()
    sampler = TorchSampler(model, precision="fp32")
    assert sampler.path != "waves"
    if path == "waves":
        sampler._path = (sampler._path[0], "waves")
    requests = [
        Request(prompt=model.tokenizer.prompt(each.prompt), images=each.images, seeds=[n, n + 9], max_tokens=8)
        for n, each in enumerate(asked)
    ]
    done = {(c.request, c.sample): c for c in sampler.generate(requests)}
    assert len(done) == 8
    for (request, _), completion in done.items():
        tokens = completion.tokens
        if (tokens == model.tokenizer.vision.id).any():
            continue
        expected = own_logp(model, asked[request], tokens)
        np.testing.assert_allclose(completion.logp, expected.numpy(), atol=2e-5)


def test_sampler_and_learner_agree_to_the_last_digits(seeing):
    asked = TASK.problem("train", 3)
    prompt = seeing.tokenizer.prompt(asked.prompt)
    request = Request(prompt=prompt, images=asked.images, seeds=list(range(6)), max_tokens=12)
    done = list(TorchSampler(seeing, precision="fp32").generate([request]))
    batch = batch_of(seeing, [asked], samples=1, tokens=12)
    for completion in done:
        size = len(completion.tokens)
        tokens = torch.from_numpy(np.pad(completion.tokens, (0, 12 - size)))[None]
        mask = (torch.arange(12) < size)[None]
        actual = TorchLearner(seeing).logp(dataclasses.replace(batch, tokens=tokens, mask=mask))[0, :size]
        np.testing.assert_allclose(completion.logp, actual.numpy(), atol=1e-5)


def test_a_response_that_says_the_image_token_says_a_token(seeing):
    """Hostile text: the id in a response has no image, and must neither raise nor take another one's place."""
    asked = TASK.problem("train", 4)
    batch = batch_of(seeing, [asked], samples=1)
    batch.tokens[0, 2] = seeing.tokenizer.vision.id
    learner = TorchLearner(seeing)
    actual = learner.logp(batch)
    learner.scorer.packed = None
    torch.testing.assert_close(actual, learner.logp(batch), atol=2e-5, rtol=1e-5)
    before = batch_of(seeing, [asked], samples=1)
    torch.testing.assert_close(actual[:, :2], learner.logp(before)[:, :2], atol=2e-5, rtol=1e-5)


def test_an_image_goes_through_the_tower_once(seeing, monkeypatch):
    """However many samples a prompt has, and however often it shows the image."""
    image = TASK.problem("train", 5).images[0]
    batch = batch_of(seeing, [problem([image, image])], samples=4)
    seen = []
    whole = type(seeing.net).get_image_features
    monkeypatch.setattr(
        type(seeing.net), "get_image_features", lambda self, **given: seen.append(given) or whole(self, **given)
    )
    TorchLearner(seeing).logp(batch)
    request = Request(prompt=batch.prompts[0], images=batch.images[0], seeds=[1, 2, 3], max_tokens=2)
    list(TorchSampler(seeing, precision="fp32").generate([request]))
    assert [len(given["pixel_values"]) for given in seen] == [1, 1]


def test_text_alone_is_read_as_before(seeing, monkeypatch):
    monkeypatch.setattr(Vision, "features", lambda *_: pytest.fail("there is no image"))
    batch = batch_of(seeing, [problem((), "what comes next")])
    assert batch.images == ()
    assert TorchLearner(seeing).logp(batch).abs().sum() > 0
    request = Request(prompt=batch.prompts[0], seeds=[1], max_tokens=3)
    assert len(list(TorchSampler(seeing).generate([request]))) == 1


def test_places_and_images_must_agree(seeing):
    asked = problems()[0]
    prompt = seeing.tokenizer.prompt(asked.prompt)
    for images in ((), asked.images[:3]):
        with pytest.raises(BackendError, match=f"128 places for images and comes with {len(images)} images"):
            list(TorchSampler(seeing).generate([Request(prompt=prompt, images=images, seeds=[1], max_tokens=2)]))
    batch = batch_of(seeing, [asked])
    with pytest.raises(BackendError, match="128 places"):
        TorchLearner(seeing).logp(dataclasses.replace(batch, images=()))


def test_a_model_that_does_more_with_images_is_refused(monkeypatch):
    """Its own forward pass is what counts: one whose images change positions would differ like this."""
    model = llava(seed=7)
    monkeypatch.setattr("strop.models.vision._run", lambda net, pixels: torch.ones(16, 128))
    with pytest.raises(BackendError, match="changes positions or masks"):
        TorchLearner(model).logp(batch_of(model, problems()))


def test_images_for_a_model_without_eyes(seeing, tiny_model):
    blind = tiny_model()
    asked = problem(TASK.problem("train", 0).images[:1])
    with pytest.raises(BackendError, match=r"1 images, and this model sees none\. Next: --model scratch:vision"):
        blind.tokenizer.prompt(asked.prompt)
    request = Request(prompt=np.array([5, 6]), images=asked.images, seeds=[1], max_tokens=2)
    with pytest.raises(BackendError, match="request 0: comes with 1 images"):
        list(TorchSampler(blind).generate([request]))
    with pytest.raises(BackendError, match="sees none"):
        TorchLearner(blind).logp(batch_of(seeing, [asked]))


def test_supervised_steps_overfit_eight_puzzles():
    """All eight prompts are the same text: only the pictures tell which letter is right."""
    model = small_vision.initialise(0, nano.tokenizer([TASK.problem("train", 0).question] * 3))
    asked = [TASK.problem("train", index) for index in range(8)]
    assert len({each.reference for each in asked}) > 2
    sampler = TorchSampler(model, precision="fp32")
    episode = FromData(direct=1.0, short=0.0)
    groups = [Group(t.problem, (t,)) for t in episode(asked, sampler=sampler, task=TASK, samples=1, key=Key.root(0))]
    batch, _ = pack(groups, None)
    learner = TorchLearner(model)
    rates = [2e-3 * min(1, (step + 1) / 10) for step in range(60)]
    optimizer = AdamW(betas=(0.9, 0.98))
    losses = [learner.step(batch, CrossEntropy(), TokenMean(), optimizer, lr=lr).metrics["loss"] for lr in rates]
    assert losses[-1] < 0.02 < 1 < losses[0]
    requests = [
        Request(prompt=t.prompt_tokens, images=t.problem.images, seeds=[1], max_tokens=5, temperature=0)
        for group in groups
        for t in group.trajectories
    ]
    for done in sampler.generate(requests):
        assert TASK.verify(model.tokenizer.decode(done.tokens), asked[done.request]).outcome == "right"


def test_servers_are_not_sent_images():
    """Neither by a sampler that was handed some, nor by a tokenizer whose template is the server's."""
    request = Request(prompt=np.array([5, 6]), images=("a.png",), seeds=[1], max_tokens=2)
    server = HttpSampler(Server.parse("http://127.0.0.1:9/v1#m"), ByteTokenizer(), context=64, chat=False)
    with pytest.raises(BackendError, match="request 3: comes with 1 images, and only the torch sampler gives images"):
        server.check(request, "request 3")
    with pytest.raises(BackendError, match="none are sent to servers"):
        ConversationTokenizer(ByteTokenizer()).prompt(problem(["a.png"]).prompt)
    # what vLLM asks before it draws
    with pytest.raises(BackendError, match="only the torch sampler gives images"):
        check("request 0", request, 64, 300)
