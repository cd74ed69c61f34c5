"""Limits that a process puts on itself before it runs a program: time, memory, files, calls.

Runs in the sandbox, with nothing of ours but this package's files.
"""

import ctypes
import platform
import resource

# Of one file, and files that are open.
FILE_BYTES, FILES = 1 << 24, 64

# Calls of the kernel that no program needs which reads and prints: those by which it would become
# several, or reach others, or take memory that no limit counts. A thread is no other process.
_X86 = {
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "execveat": 322,
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "shmget": 29,
    "msgget": 68,
    "semget": 64,
    "memfd_create": 319,
    "memfd_secret": 447,
    "unshare": 272,
    "setns": 308,
    "mount": 165,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "keyctl": 250,
    "add_key": 248,
    "socket": 41,
    "socketpair": 53,
}
_ARM = {
    "execve": 221,
    "execveat": 281,
    "ptrace": 117,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "shmget": 194,
    "msgget": 186,
    "semget": 190,
    "memfd_create": 279,
    "memfd_secret": 447,
    "unshare": 97,
    "setns": 268,
    "mount": 40,
    "bpf": 280,
    "userfaultfd": 282,
    "io_uring_setup": 425,
    "keyctl": 219,
    "add_key": 217,
    "socket": 198,
    "socketpair": 199,
}
# By machine: its number for seccomp, the calls above, `clone`, and `clone3`.
MACHINES = {
    "x86_64": (0xC000003E, _X86, 56, 435),
    "aarch64": (0xC00000B7, _ARM, 220, 435),
}
_CLONE_THREAD, _EPERM, _ENOSYS = 0x00010000, 1, 38


def restrain(seconds: int, memory: int) -> None:
    """Bound time, memory, files and processes, for good."""
    for limit, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, FILE_BYTES, FILE_BYTES),
        (resource.RLIMIT_NOFILE, FILES, FILES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(limit, (soft, hard))
    _forbid()


def _forbid() -> None:
    """Let the kernel refuse the calls above, to this process and all that comes of it."""
    number, calls, clone, clone3 = MACHINES[platform.machine()]
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000
    load, equal, at_least, all_of, give = 0x20, 0x15, 0x35, 0x45, 0x06
    rules = [
        (load, 0, 0, 4),  # the machine that the call is meant for
        (equal, 1, 0, number),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the call
        (at_least, 0, 1, 0x40000000),  # x86_64's second table of the same calls
        (give, 0, 0, refuse | _ENOSYS),
        (equal, 0, 1, clone3),  # its flags cannot be looked at: libraries then use clone
        (give, 0, 0, refuse | _ENOSYS),
    ]
    for call in calls.values():
        rules += [(equal, 0, 1, call), (give, 0, 0, refuse | _EPERM)]
    rules += [
        (equal, 0, 3, clone),
        (load, 0, 0, 16),  # its flags
        (all_of, 1, 0, _CLONE_THREAD),
        (give, 0, 0, refuse | _EPERM),
        (give, 0, 0, allow),
    ]

    class Rule(ctypes.Structure):
        _fields_ = (
            ("code", ctypes.c_ushort),
            ("true", ctypes.c_ubyte),
            ("false", ctypes.c_ubyte),
            ("value", ctypes.c_uint),
        )

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("rules", ctypes.POINTER(Rule)))

    table = (Rule * len(rules))(*(Rule(*rule) for rule in rules))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    whole = Filter(len(rules), ctypes.cast(table, ctypes.POINTER(Rule)))
    no_new_privileges, seccomp, mode_filter = 38, 22, 2
    if prctl(no_new_privileges, 1, 0, 0, 0) or prctl(
        seccomp, mode_filter, ctypes.addressof(whole), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")
