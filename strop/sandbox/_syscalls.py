"""The system calls a script in the sandbox may not make, as a filter program for the kernel (seccomp).

Namespaces and limits do not cover everything: VSOCK sockets reach the host of a virtual machine from any network
namespace, `memfd_create` and System V segments are memory that no limit of a process counts, and new user namespaces,
mounts, keys, tracing and io_uring are where most ways out of a sandbox began. A refused call fails with EPERM.
"""

import errno
import platform
import struct

# name -> number on x86-64 and on 64-bit ARM, from the kernel's syscall tables
_NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51), "delete_module": (176, 106),
    "fanotify_init": (300, 262), "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "init_module": (175, 105), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "kcmp": (312, 272), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "keyctl": (250, 219), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "mq_open": (240, 180),
    "msgget": (68, 186), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "reboot": (169, 142), "request_key": (249, 218), "semget": (64, 190), "setns": (308, 268), "shmget": (29, 194),
    "socket": (41, 198), "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the table above, and what the kernel calls the architecture."""
_NAMESPACES = 0x7E020000
"""Flags of clone that make a namespace: mount, cgroup, uts, ipc, user, pid and net."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000


def machine() -> str:
    """The processor's name where the filter knows its system calls, else empty."""
    name = platform.machine()
    return name if name in _MACHINES else ""


def denied(name: str) -> list[int]:
    """The numbers of the refused calls on a machine, without `clone3`, which does as if it did not exist."""
    return sorted(numbers[_MACHINES[name][0]] for numbers in _NUMBERS.values())


def program(name: str) -> bytes:
    """The filter for a machine, as the kernel reads it: 8 bytes for each instruction.

    >>> len(program("x86_64")) // 8 == 5 + 2 * len(denied("x86_64")) + 2 + 6
    True
    """
    column, architecture = _MACHINES[name]
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    # numbers from here on are x32 calls, a second table that the list above does not cover; ARM has none as large
    steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    for number in denied(name):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    # the flags of clone3 lie in memory, where a filter cannot look; without it the C library falls back to clone
    steps += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    steps += [(_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, _NAMESPACES)]
    steps += [(_RETURN, 0, 0, _FAIL | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
