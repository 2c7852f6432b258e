"""Which process of which machine writes, so that what a dead one left is known as that."""

import hashlib
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = Path("/proc/self/ns/pid")
"""Where Linux tells of the boot, and of the processes that share their numbers."""

TAG: Final = re.compile(r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}")


def new_tag() -> str:
    """Part of a file's name that no other process and no other call uses."""
    return f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"


def is_left(name: str) -> bool:
    """Whether a file's name has the tag of a process of this machine that has ended."""
    found = TAG.search(name)
    return found is not None and found[1] == _machine() and not _lives(int(found[2]))


def _machine() -> str:
    known = [socket.gethostname()]
    with suppress(OSError):  # systems other than Linux: the host alone
        known += [BOOT.read_text(), os.readlink(NAMESPACE)]  # noqa: PTH115 - a link to no path
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
