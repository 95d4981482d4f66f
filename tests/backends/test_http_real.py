"""The HTTP sampler on servers that others wrote, started here on the bundled model."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest

from strop.backends.http import Server, open_sampler
from strop.backends.torch.sampler import TorchSampler
from strop.errors import BackendError
from strop.models import language_model
from strop.records import Request, Turn

NANO = Path(language_model.__file__).parents[1] / "assets" / "nano"
QUESTIONS = ("12+7", "9*8-5", "47+3*8-12")
VLLM = {
    # threads stay where the tests have them
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    # vLLM in this process, of other tests, sets it to 0, which a server inherits
    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
}
pytestmark = pytest.mark.slow


@contextmanager
def started(*command, tmp_path):
    """A server's address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"} | VLLM
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, env=environment)
    try:
        until = time.monotonic() + 300
        while True:
            try:
                httpx2.get(f"http://127.0.0.1:{port}/health", timeout=2).raise_for_status()
                break
            except httpx2.HTTPError:
                said = (tmp_path / "server.log").read_text()[-2000:]
                assert process.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def requests_for(sampler, **settings):
    prompts = [sampler.tokenizer.prompt([Turn("user", text)]) for text in QUESTIONS]
    return [Request(prompt=p, seeds=[5, 6], **{"max_tokens": 60} | settings) for p in prompts]


def test_transformers_serve(tmp_path):
    """A server of conversations: greedy answers are the torch sampler's, and it serves no policy gradient."""
    command = shutil.which("transformers", path=str(Path(sys.executable).parent))
    assert command is not None, "strop needs transformers, whose command stands beside python"
    own = TorchSampler(language_model.load("nano"), precision="fp32")
    expected = {(c.request, c.sample): without_prompt(c, own) for c in own.generate(requests_for(own, temperature=0.0))}
    with started(command, "serve", str(NANO), "--device", "cpu", "--dtype", "float32", tmp_path=tmp_path) as url:
        remote = open_sampler(url, str(NANO), "nano")
        assert remote.chat
        answers = list(remote.generate(requests_for(remote, temperature=0.0)))
        actual = {(c.request, c.sample): without_prompt(c, remote) for c in answers}
        assert actual == expected
        assert all(np.isfinite(c.logp).all() for c in answers)
        # this server samples only where the generation settings say so; they go along as they are
        ends = {"eos_token_id": sorted(own.tokenizer.eos_ids), "pad_token_id": own.tokenizer.pad_id}
        extra = {"generation_config": json.dumps({"do_sample": True, "top_k": 0} | ends)}
        hot = open_sampler(Server(url=url, model=str(NANO), extra=extra), tokenizer="nano")
        drawn = {(c.request, c.sample): without_prompt(c, hot) for c in hot.generate(requests_for(hot))}
        assert drawn.keys() == expected.keys()
        assert drawn != expected
        with pytest.raises(BackendError, match=r"cannot be asked in token ids.*importance ratio"):
            open_sampler(url, str(NANO), "nano", exact=True)
        with pytest.raises(BackendError, match="nobody"):
            open_sampler(url, "nobody", "nano")


def without_prompt(completion, sampler):
    """The text of an answer: transformers 5.19 reads the end of a thought by Qwen3's own template, and with another
    one puts the whole prompt before the answer."""
    prompt = f"<|user|>{QUESTIONS[completion.request]}<|assistant|>"
    return sampler.tokenizer.decode(completion.tokens).replace(prompt, "")


def test_vllm_serve(tmp_path):
    """Token ids and log-probabilities: greedy answers are the torch sampler's, drawn ones as likely as it says."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed here: make test-vllm")
    # the command `vllm` asks for a package of that name, which the CPU build is not
    command = (sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(NANO))
    small = ("--enforce-eager", "--max-num-seqs", "16", "--kv-cache-memory-bytes", str(128 << 20))
    own = TorchSampler(language_model.load("nano"), precision="fp32")
    greedy = {(c.request, c.sample): c.tokens.tolist() for c in own.generate(requests_for(own, temperature=0.0))}
    with started(*command, *small, "--dtype", "float32", tmp_path=tmp_path) as url:
        remote = open_sampler(url, "", "nano", exact=True)
        assert not remote.chat
        answers = list(remote.generate(requests_for(remote, temperature=0.0)))
        assert {(c.request, c.sample): c.tokens.tolist() for c in answers} == greedy
        drawn = list(remote.generate(requests_for(remote)))
    for completion in drawn:
        prompt = own.tokenizer.prompt([Turn("user", QUESTIONS[completion.request])])
        expected = likelihood(own.model.net, prompt, completion.tokens)
        np.testing.assert_allclose(completion.logp, expected, atol=1e-3)
        assert completion.finish == "length" or completion.tokens[-1] in own.tokenizer.eos_ids


def likelihood(net, prompt, tokens):
    """Log-probability of each token after the prompt, by one plain forward pass."""
    import torch

    ids = torch.from_numpy(np.concatenate([prompt, tokens]))[None]
    with torch.no_grad():
        logp = torch.log_softmax(net(input_ids=ids).logits[0, len(prompt) - 1 : -1].float(), dim=-1)
    return logp.gather(1, ids[0, len(prompt) :, None])[:, 0].numpy()
