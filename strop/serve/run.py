"""Loading what is to be served, and serving it until somebody says stop."""

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from strop.errors import BackendError, ConfigError
from strop.serve.limits import Limits
from strop.text import is_address

KEY = "STROP_SERVE_KEY"
"""The environment variable that holds the key clients must give."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OLDER = 8
"""Earlier checkpoints of a run folder that are kept ready for decoders that take turns among them."""


def serve(
    models: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    slots: int = 64,
    precision: Any = "auto",
    tokenizer: str | None = None,
    checkpoints: int = 1,
    limits: Limits | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve `models` until SIGINT or SIGTERM; then finish what runs, refuse what is new, and return.

    Each is a model as everywhere (`nano`, a folder, a hub id, a run folder) or the address of another server, with
    `NAME=` before it where it is to be called otherwise.
    """
    try:
        import uvicorn

        from strop.serve.app import build_app
    except ImportError as error:
        raise ConfigError(f"strop serve needs {error.name}. Next: pip install 'strop[web]'") from None
    key = os.environ.get(KEY, "").strip()
    if not key and not is_loopback(host):
        raise ConfigError(
            f"--host {host} lets other machines in, and there is no key for them. Next: export {KEY}=$(openssl rand "
            "-hex 16), or leave out --host"
        )
    limits = limits or Limits()
    listening = _listen(host, port)
    try:
        served = [
            _open(name, place, limits, slots, precision, tokenizer, checkpoints)
            for name, place in named(models).items()
        ]
        app = build_app(served, limits, key, LOOPBACK if is_loopback(host) else ())
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            # beyond what the gate lets in there is only what it refuses; this bounds that as well
            limit_concurrency=limits.attempts + 256,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(limits.seconds) + 1,
            h11_max_incomplete_event_size=64 * 1024,
            http="h11",
            ws="none",
            server_header=False,
        )
        where = f"[{host}]" if ":" in host else host
        names = ", ".join(each.name for each in served)
        say(f"serving {names} at http://{where}:{listening.getsockname()[1]}/v1" + (" (with a key)" if key else ""))
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def named(models: Sequence[str]) -> Mapping[str, str]:
    """Where each model is, by the name it is served under.

    >>> named(["nano", "run42=runs/grpo-1"])
    {'nano': 'nano', 'run42': 'runs/grpo-1'}
    """
    found: dict[str, str] = {}
    for model in models:
        name, given, place = model.partition("=")
        if not given or "/" in name:
            name, place = _own_name(model), model
        if not re.fullmatch(r"[\w.@/-][\w.@/:-]{0,127}", name) or not place:
            raise ConfigError(
                f"Expected MODEL or NAME=MODEL with a name of letters, digits and . _ - /, got {model!r}."
            )
        if name in found:
            raise ConfigError(f"Two models would be called {name!r}. Give one of them another name: OTHER={place}")
        found[name] = place
    return found


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_name(model: str) -> str:
    if is_address(model):
        from strop.backends.http import Server

        return Server.parse(model).model or "upstream"
    # a hub id keeps its owner; of a path its last part is enough
    return Path(model).name if Path(model).expanduser().exists() else model


def _listen(host: str, port: int) -> socket.socket:
    """The address is taken before models are loaded, which may take minutes."""
    try:
        [(family, kind, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({error}). Next: --port {port + 1 if port < 65535 else 8000}"
        ) from None
    return listening


def _open(
    name: str, place: str, limits: Limits, slots: int, precision: Any, tokenizer: str | None, checkpoints: int
) -> Any:
    from strop.serve.answering import Served

    if is_address(place):
        from strop.backends.http import open_sampler
        from strop.serve.upstream import Upstream

        return Served(name, Upstream(open_sampler(place, tokenizer=tokenizer)))
    from strop.backends.torch.sampler import TorchSampler
    from strop.models import language_model
    from strop.serve.torch_source import TorchSource

    def source(model: Any) -> TorchSource:
        sampler = TorchSampler(language_model.placed(model), slots=slots, precision=precision)
        return TorchSource(sampler, limits.attempts)

    if not (Path(place) / "recipe.json").is_file():
        return Served(name, source(language_model.load(place)))
    from strop.store.files import step_name
    from strop.store.run import Run

    run = Run.open(place)
    steps = run.checkpoints
    if not steps:
        raise BackendError(f"{place} has no checkpoint yet. Next: strop resume {place}")
    *earlier, newest = steps[-checkpoints:]
    older = {step_name(step): source(run.model(step)) for step in earlier}
    return Served(name, source(run.model(newest)), older, step_name(newest))
