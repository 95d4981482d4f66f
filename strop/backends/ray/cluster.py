"""The cluster a run's actors are on: one that is there already, or one on this machine that ends with this process."""

import functools
import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strop.backends.ray.watch import watched
from strop.errors import BackendError, ConfigError

HERE = "ray"
"""The cluster of this machine alone, or the one that RAY_ADDRESS names."""
RUNNING = "auto"
"""The cluster that `ray start` made this machine a part of."""
REACH = 5.0
"""Seconds in which a cluster must take a connection."""


@dataclass(frozen=True)
class Cluster:
    """A connection to Ray."""

    ray: Any
    """The package."""
    gpus: bool
    """Whether each actor takes one."""

    def actor(self, kind: type, *arguments: Any) -> Any:
        """A new actor. Ray neither starts it again nor repeats what it was doing: what is lost is ours to know."""
        how = {"num_cpus": 1, "num_gpus": int(self.gpus), "max_restarts": 0, "max_task_retries": 0}
        return self.ray.remote(**how)(kind).remote(*arguments)

    def file(self, name: str) -> str:
        """A path that is free, in the folder that Ray has on each machine and takes with it."""
        return str(self._folder / f"{name}-{secrets.token_hex(8)}")

    def last_words(self, pid: int) -> str:
        """The last line that an actor on this machine wrote before it ended; empty where there is none."""
        for path in (self._folder / "logs").glob(f"worker-*-{pid}.err"):
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            # Ray's own lines carry no news
            said = [line for line in lines if line.strip() and not line.startswith((":", "[")) and "ray::" not in line]
            if said:
                return f" Its last words: {said[-1].strip()[:300]}"
        return ""

    @property
    def _folder(self) -> Path:
        return Path(self.ray._private.worker.global_worker.node.get_session_dir_path())


@contextmanager
def joined(address: str, actors: int) -> Generator[Cluster, None, None]:
    """A connection to the cluster at `address`, which has room for so many actors.

    `ray` starts one on this machine that nobody else can reach: it listens on 127.0.0.1 alone and asks for a secret
    that only this process and its children know. It ends when this process does, whatever ends it. Where the
    environment has RAY_ADDRESS it means that cluster instead; `auto` and `HOST:PORT` are one that is there already.
    Where this process is connected to Ray, it stays so.
    """
    ray = _ray()
    asked = os.environ.get("RAY_ADDRESS") or address if address == HERE else address
    if ray.is_initialized():
        yield Cluster(ray, _room(ray, actors, asked))
        return
    # else it prints what its daemons have to say of a lost actor between the lines of the run; the run says it itself
    ray._private.worker._worker_logs_enabled = False
    if asked in (HERE, "local"):
        with _alone(ray, actors) as cluster:
            yield cluster
        return
    _check_address(asked)
    try:
        ray.init(address=asked, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has a kind of its own for each way in which this fails
        if asked == RUNNING:
            raise _unreachable(asked, str(error)) from error
        raise BackendError(
            f"The Ray cluster at {asked} does not take this process ({_line(error)}). It wants the same version of Ray "
            f"({ray.__version__} here) and, where it was started with one, its token: docs/ray.md"
        ) from error
    try:
        yield Cluster(ray, _room(ray, actors, asked))
    finally:
        ray.shutdown()


@contextmanager
def _alone(ray: Any, actors: int) -> Generator[Cluster, None, None]:
    constants = ray._private.ray_constants
    before, known = constants.ENABLE_RAY_CLUSTER, dict(os.environ)
    folder = tempfile.mkdtemp(prefix="strop-", dir=_short(tempfile.gettempdir()))
    os.environ |= {
        # all of Ray's processes listen on 127.0.0.1; read when Ray is imported, which may have been long ago
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray would run actors with the lowest priority but four
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    # or Ray would keep one in the user's home
    os.environ.setdefault("RAY_AUTH_TOKEN", _secret())
    constants.ENABLE_RAY_CLUSTER = False
    try:
        with watched(Path(folder)), _init(ray, actors, folder):
            yield Cluster(ray, _room(ray, actors, HERE))
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        for name in os.environ.keys() - known.keys():
            del os.environ[name]
        os.environ |= known
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _init(ray: Any, actors: int, folder: str) -> Generator[None, None, None]:
    try:
        ray.init(
            address="local",
            # how many actors there are was decided before
            num_cpus=actors,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # Ray opens its folder to everybody, sockets and all; the one around it stays closed
            _temp_dir=f"{folder}/ray",
        )
    except Exception as error:  # as above
        ray.shutdown()
        raise BackendError(f"Ray cannot be started on this machine: {_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


@functools.cache
def _secret() -> str:
    """Ray reads it once in a process."""
    return secrets.token_hex(32)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise BackendError("A cluster needs Ray. Next: pip install 'strop[ray]'") from None
    return ray


def _short(folder: str) -> str:
    """Ray puts sockets there, whose paths may have 107 characters."""
    return folder if len(folder) < 20 else "/tmp"


def _check_address(asked: str) -> None:
    if asked == RUNNING:
        return
    if asked.startswith("ray://"):
        raise ConfigError(
            f"{asked} is an address for Ray's client, which cannot hand attempts over as they finish. Start the run on "
            "a machine of the cluster: --cluster auto"
        )
    found = re.fullmatch(r"\[?([^/\s]+?)\]?:(\d{1,5})", asked)
    if found is None:
        raise ConfigError(
            f"--cluster must be {HERE} (this machine), {RUNNING} (the cluster that ray start made this machine a part "
            f"of) or HOST:PORT, such as 10.0.0.1:6379, got {asked!r}."
        )
    try:
        socket.create_connection((found[1], int(found[2])), REACH).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(asked, str(error)) from None


def _unreachable(asked: str, why: str) -> BackendError:
    return BackendError(
        f"There is no Ray cluster at {asked} ({_line(why)}). Next: ray start --head on one machine, ray start "
        f"--address HOST:6379 on the others; or --cluster {HERE} for this machine alone."
    )


def _room(ray: Any, actors: int, asked: str) -> bool:
    """Whether there is a GPU for each actor; raises where the cluster is too small, whatever else it does now."""
    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
    name, most = ("GPUs", gpus) if gpus else ("CPUs", cpus)
    if most < actors:
        raise ConfigError(
            f"The cluster {asked} has {most} {name}, and this run has {actors} actors, which take one each. "
            + (
                f"Next: --samplers and --learners that add up to {most}"
                if most > 1
                else "Train in one process, without --cluster."
            )
        )
    return gpus > 0


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]
