"""Run a command without a network: with no interface but loopback, over which Jupyter talks to its kernels.

    python scripts/offline.py COMMAND ...

Linux gives a process a network namespace of its own, which at first holds nothing but a loopback that is down.
`unshare` of util-linux makes one: for root as it is, for anybody else together with a user namespace, where the system
allows that. The exit status is the command's.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

WAYS = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP of Linux
NOT_HERE = (
    "This machine lets no program give up its network: that takes Linux, unshare (util-linux), and root or user "
    "namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a container with CAP_SYS_ADMIN)."
)


def prefix() -> list[str] | None:
    """What to put before a command so that it runs without a network; None where this machine does not allow it."""
    for way in WAYS:
        whole = [*way, sys.executable, str(Path(__file__).resolve()), "--inside"]
        try:
            done = subprocess.run([*whole, sys.executable, "-c", ""], capture_output=True, timeout=60)
        except OSError:  # no unshare
            return None
        if done.returncode == 0:
            return whole
    return None


def raise_loopback() -> None:
    """Switch on the interface `lo`, in a namespace where that is allowed."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sH22x", b"lo", 0)  # struct ifreq: a name, then its flags
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, GET_FLAGS, asked), 16)
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH22x", b"lo", flags | UP))


def main(words: list[str]) -> None:
    """Become the command; raise SystemExit with one sentence where that cannot be."""
    if words[:1] == ["--inside"]:
        raise_loopback()
        os.execvp(words[1], words[1:])
    if not words:
        raise SystemExit("No command was given: python scripts/offline.py COMMAND ...")
    way = prefix()
    if way is None:
        raise SystemExit(NOT_HERE)
    os.execvp(way[0], [*way, *words])


if __name__ == "__main__":
    main(sys.argv[1:])
