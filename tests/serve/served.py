"""The endpoint on a free port of loopback, in a thread."""

import threading
import time
from contextlib import contextmanager

import uvicorn

from strop.backends.torch.sampler import TorchSampler
from strop.serve.answering import Served
from strop.serve.app import build_app
from strop.serve.limits import Limits
from strop.serve.torch_source import TorchSource


def tiny(tiny_model, name="tiny", slots=8, capacity=64, seed=0, kind="qwen3", **rest):
    """A model of random weights as it is served."""
    sampler = TorchSampler(tiny_model(kind, seed=seed), slots=slots, precision="fp32")
    return Served(name, TorchSource(sampler, capacity), **rest)


@contextmanager
def serving(*models, key="", hosts=(), **limits):
    """The base address and the application."""
    app = build_app(models, Limits(**{"attempts": 64, "per_request": 32, "tokens": 32} | limits), key, hosts)
    config = uvicorn.Config(app, port=0, log_level="error", http="h11", ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1", app
    finally:
        server.should_exit = True
        thread.join(10)


def wait_until(condition, seconds=10.0):
    """Whether it becomes true in time."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()
