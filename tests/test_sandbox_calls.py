"""The filter of system calls, against an interpreter of its instructions and the kernel's own numbers."""

import struct
from pathlib import Path

import pytest

from strop.sandbox import _syscalls


def verdict(program, architecture, number, argument=0):
    """A slow interpreter of the five instructions that occur; what the kernel would answer."""
    memory = {0: number, 4: architecture, 16: argument}
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    place = value = 0
    while True:
        code, yes, no, k = steps[place]
        place += 1
        if code == 0x06:
            return k
        if code == 0x20:
            value = memory[k]
        else:
            holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            place += yes if holds else no


@pytest.mark.parametrize(
    ("machine", "architecture", "named"),
    [
        ("x86_64", 0xC000003E, {"read": 0, "fork": 57, "execve": 59, "socket": 41, "ptrace": 101, "unshare": 272}),
        ("aarch64", 0xC00000B7, {"read": 63, "execve": 221, "socket": 198, "ptrace": 117, "unshare": 97}),
    ],
)
def test_the_filter_against_an_interpreter(machine, architecture, named):
    program = _syscalls.program(machine)
    allow, kill, eperm, enosys = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    clone = {"x86_64": 56, "aarch64": 220}[machine]
    for name, number in named.items():
        expected = eperm if name in ("socket", "ptrace", "unshare") else allow
        assert verdict(program, architecture, number) == expected, name
    assert verdict(program, architecture, 435) == enosys
    assert verdict(program, architecture, clone, 0x01200011) == allow, "a fork"
    assert verdict(program, architecture, clone, 0x10000011) == eperm, "a user namespace"
    assert verdict(program, 0x40000003, 11) == kill, "a 32-bit call"
    assert verdict(program, architecture, 0x40000000 + 41) == kill, "an x32 call"
    denied = {number for number in range(500) if verdict(program, architecture, number) == eperm}
    assert denied == set(_syscalls.denied(machine))


@pytest.mark.skipif(
    not Path("/usr/include/asm-generic/unistd.h").is_file(), reason="the kernel's headers are not installed"
)
def test_numbers_are_those_of_the_kernels_headers():
    for column, header in enumerate(("x86_64-linux-gnu/asm/unistd_64.h", "asm-generic/unistd.h")):
        path = Path("/usr/include") / header
        if not path.is_file():
            continue
        words = (line.split() for line in path.read_text().splitlines() if line.startswith("#define __NR"))
        known = {word[1].removeprefix("__NR3264_").removeprefix("__NR_"): word[2] for word in words if len(word) > 2}
        for name, numbers in _syscalls._NUMBERS.items():
            assert known.get(name, str(numbers[column])) == str(numbers[column]), name
