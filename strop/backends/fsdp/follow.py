"""A process that follows: `python -m strop.backends.fsdp.follow RANK SIZE MEETING`, or as torchrun started it."""

import json
import os
import signal
import sys
import threading

from strop.backends.fsdp.hands import COMMANDS, Hands
from strop.backends.fsdp.team import Place, Team
from strop.errors import BackendError, LostProcess, StropError
from strop.recipe import Recipe, from_data


def follow(place: Place) -> None:
    """Do what the process that leads says until it says that it is over, or this process is killed."""
    # a signal means the whole run, and how that ends is the leader's business
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    obey(place)


def obey(place: Place) -> None:
    """Do what the process that leads says until it says that it is over."""
    team = Team.join(place)
    with team.speaking():
        hands: Hands | None = None
        while True:
            what, arguments = team.hear()
            if what == "end":
                break
            try:
                if what == "open":
                    hands = opened(from_data(json.loads(arguments["recipe"])), team)
                elif what in COMMANDS and hands is not None:
                    getattr(hands, what)(**arguments)
            except LostProcess:
                raise
            except StropError:
                # the process that leads has the same recipe and the same data: it says so
                continue
    team.leave(True)


def opened(recipe: Recipe, team: Team) -> Hands:
    """Load the model in every process; an error in one of them is an error of all."""
    hands, fault = None, None
    try:
        hands = Hands(recipe, team)
    except StropError as error:
        fault = error
    faults = team.collected("" if fault is None else f"{type(fault).__name__}: {fault}")
    if fault is not None:
        raise fault
    for rank, text in enumerate(faults):
        if text:
            raise BackendError(f"Process {rank + 1} of {team.size} cannot open the model. {text}")
    assert hands is not None
    return hands


def _end_with_the_leader() -> None:
    """Its end of this pipe closes when it ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(3)

    threading.Thread(target=wait, name="leader", daemon=True).start()


def main() -> None:
    """Follow the process that started this one."""
    rank, size, meeting = sys.argv[1:]
    _end_with_the_leader()
    try:
        follow(Place(int(rank), int(size), int(rank), meeting))
    except LostProcess as lost:
        sys.stderr.write(f"{lost}\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
