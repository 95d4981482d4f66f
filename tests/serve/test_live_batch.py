"""Requests that join and leave a running batch: whatever else is in it, a sample is what the sampler would draw."""

import asyncio
import contextlib

import numpy as np
import pytest

from strop.backends.torch.sampler import TorchSampler
from strop.errors import BackendError
from strop.keys import Key
from strop.records import Request, Turn
from strop.serve.live_batch import Call, LiveBatch
from strop.serve.torch_source import TorchSource

TEXTS = ("2+3", "4+5*6", "wait", "7", "12-3 check", "1")


def requests_of(tokenizer, count, stop=()):
    """Requests that differ in everything."""
    chance = Key.root(3).random()
    return [
        Request(
            prompt=tokenizer.prompt([Turn("user", TEXTS[i % len(TEXTS)])]),
            seeds=[chance.getrandbits(64) for _ in range(1 + i % 3)],
            max_tokens=1 + chance.randrange(40),
            temperature=(0.0, 0.5, 1.0, 1.3)[i % 4],
            top_k=(0, 5)[i % 2],
            stop=stop if i % 2 else (),
        )
        for i in range(count)
    ]


async def collect(source, request, growing=False):
    """What was told of each sample, and what it is in the end."""
    told, whole = {}, {}
    async with contextlib.aclosing(source.attempts(request, growing=growing)) as news:
        async for each in news:
            told.setdefault(each.sample, []).extend(zip(each.tokens, each.logp, strict=True))
            if each.whole is not None:
                whole[each.sample] = each.whole
    return told, whole


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "mistral"])
def test_samples_are_those_of_the_sampler(tiny_model, tokenizer, kind):
    """Fused steps, the attention interface, and models that are drawn in rounds."""
    sampler = TorchSampler(tiny_model(kind), slots=4, precision="fp32")
    requests = requests_of(tokenizer, 12, stop=(int(tokenizer.encode("4")[0]), int(tokenizer.encode("a")[0])))
    expected = {(c.request, c.sample): c for c in sampler.generate(requests)}

    async def run():
        source = TorchSource(sampler, capacity=16)
        await source.open()

        async def later(i):
            await asyncio.sleep(0.004 * (i % 5))
            return await collect(source, requests[i], growing=i % 3 == 0)

        async def leave():
            news = source.attempts(Request(prompt=requests[0].prompt, seeds=range(9), max_tokens=30), growing=True)
            await anext(news)
            await news.aclose()

        results = await asyncio.gather(*(later(i) for i in range(12)), *(leave() for _ in range(4)))
        await source.close()
        return results[:12]

    for i, (told, whole) in enumerate(asyncio.run(run())):
        assert whole.keys() == set(range(len(requests[i].seeds)))
        for sample, actual in whole.items():
            wanted = expected[i, sample]
            assert actual.tokens.tolist() == wanted.tokens.tolist() == [token for token, _ in told[sample]]
            np.testing.assert_allclose(actual.logp, wanted.logp, atol=1e-5)
            np.testing.assert_allclose([value for _, value in told[sample]], wanted.logp, atol=1e-5)
            assert actual.finish == wanted.finish


def test_nothing_is_left_behind(tiny_model, tokenizer):
    """After three hundred samples came and went, half of them before they ended, the table is as empty as at first."""
    live = LiveBatch(TorchSampler(tiny_model(), slots=8, precision="fp32"), capacity=24)
    chance, waiting, running = Key.root(1).random(), requests_of(tokenizer, 150), []
    while waiting or live.busy:
        while waiting and len(waiting[-1].seeds) <= len(live.free_jobs):
            running.append(Call(waiting.pop(), growing=False))
            live.add(running[-1])
        if chance.random() < 0.5:
            live.drop(running.pop(chance.randrange(len(running))))
        if live.busy:
            list(live.advance())
        running = [call for call in running if call.jobs]
        assert live.batch.cache is None or live.batch.cache.columns <= 2 * live.sampler.context + 64
    assert sorted(live.free_jobs) == sorted(live.free_rows) == list(range(24))
    assert not live.owner
    assert not live.calls
    assert not live.batch.waiting
    assert not live.batch.prefills
    assert (live.batch.job == -1).all()
    assert (live.batch.unplaced == 0).all()


def test_more_than_the_table_holds_waits(tiny_model, tokenizer):
    sampler = TorchSampler(tiny_model(), slots=2, precision="fp32")
    requests = requests_of(tokenizer, 9)

    async def run():
        source = TorchSource(sampler, capacity=3)
        await source.open()
        with pytest.raises(BackendError, match="At most 3 samples"):
            await collect(source, Request(prompt=requests[0].prompt, seeds=range(4), max_tokens=3))
        results = await asyncio.gather(*(collect(source, request) for request in requests))
        await source.close()
        return results

    expected = {(c.request, c.sample): c.tokens.tolist() for c in sampler.generate(requests)}
    actual = {(i, s): c.tokens.tolist() for i, (_, whole) in enumerate(asyncio.run(run())) for s, c in whole.items()}
    assert actual == expected


def test_a_source_that_closes_tells_whoever_waits(tiny_model, tokenizer):
    async def run():
        source = TorchSource(TorchSampler(tiny_model(), slots=1, precision="fp32"), capacity=8)
        await source.open()
        request = Request(prompt=tokenizer.prompt([Turn("user", "2")]), seeds=range(8), max_tokens=90)
        waiting = asyncio.create_task(collect(source, request))
        await asyncio.sleep(0.05)
        await source.close()
        with pytest.raises(BackendError, match="shutting down"):
            await waiting
        with pytest.raises(BackendError, match="shutting down"):
            await collect(source, request)

    asyncio.run(run())


def test_requests_that_share_a_batch_take_no_hooks(tiny_model, tokenizer):
    class Hook:
        layer = None

    source = TorchSource(TorchSampler(tiny_model(), precision="fp32"), capacity=4)
    request = Request(prompt=tokenizer.prompt([Turn("user", "2")]), seeds=[1], max_tokens=2, hook=Hook())
    with pytest.raises(BackendError, match=r"Hook changes the model's distribution.*strop eval"):
        source.check(request)
