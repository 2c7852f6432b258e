"""A small made-up cell, and a program that extracts it in processes that die when told to.

``python -m tests.storage.made_up_cell`` reads one JSON job a line: a root folder, the version of
each shard's images and the disk operation at which to die (0: never). It forks a process for the
job, so that a death costs no new start of Python, and answers with that process's exit status and
the disk operations that it had come to.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.cell import Cell, CellPlan

PROMPTS = ("center", "refined")
N_OBJECTS = 10
SHARD_OBJECTS = 4
N_SHARDS = 3
N_CHANNELS = 5
MASK_SIZE_PX = 8
SIGNATURE = {"family": "mini", "precision": "fp32", "views": ("identity",)}
ORIGINAL = (0,) * N_SHARDS

PLAN = CellPlan(PROMPTS, 100 + np.arange(N_OBJECTS), N_CHANNELS, MASK_SIZE_PX, SHARD_OBJECTS)

DISK_OPERATIONS = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir"}


def rows_of(shard: int, version: int = 0) -> dict[str, np.ndarray]:
    """What a model makes of a shard's images in one of their versions."""
    rng = np.random.default_rng((shard, version))
    n = min(SHARD_OBJECTS, N_OBJECTS - shard * SHARD_OBJECTS)
    p, c, m = len(PROMPTS), N_CHANNELS, MASK_SIZE_PX
    return {
        "sam_score": rng.random((n, p, 3), np.float32),
        "iou": rng.random((n, p, 3), np.float32),
        "iou_token": rng.random((n, p, c), np.float32),
        "mask_token": rng.random((n, p, 4, c), np.float32),
        "object_score": rng.random((n, p), np.float32),
        "mask_code": rng.integers(0, 256, (n, p, 3, m, m), np.uint8),
    }


def images_of(versions: Sequence[int]) -> list[str]:
    """Digest of each shard's images."""
    return [f"images of shard {shard}, version {v}" for shard, v in enumerate(versions)]


def open_cell(root: Path, **changes: str | int) -> Cell:
    """The cell below ``root``, under a signature with some changes."""
    return Cell.open(root / "work/val/tiny/identity", {**SIGNATURE, **changes}, PLAN)


def extract(root: Path, versions: Sequence[int] = ORIGINAL) -> list[int]:
    """Do what is pending, publish, and say which shards that were."""
    images = images_of(versions)
    with open_cell(root) as cell:
        pending = cell.pending(images)
        for shard in pending:
            cell.write_shard(shard, rows_of(shard, versions[shard]), images[shard])
        cell.publish(root / "features/identity.zarr", root / "masks/identity.zarr")
    return pending


def outputs(root: Path) -> dict[str, bytes]:
    """Every published file below ``root`` and its bytes."""
    files = [path for kind in ("features", "masks") for path in (root / kind).rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.is_file()}


def _die_at(operation: int, count_path: Path) -> None:
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in DISK_OPERATIONS or is_write:
            count += 1
            os.pwrite(count_file, f"{count:8}".encode(), 0)
            if 0 < operation <= count:  # two threads may have counted
                os.kill(os.getpid(), signal.SIGKILL)

    count_file = os.open(count_path, os.O_CREAT | os.O_WRONLY)
    sys.addaudithook(hook)


def _job(job: Mapping[str, Any]) -> dict[str, int]:
    root = Path(job["root"])
    root.mkdir(parents=True, exist_ok=True)
    count_path = root / "count"
    child = os.fork()
    if child == 0:
        _die_at(job["die_at"], count_path)
        extract(root, job["versions"])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "count": int(count_path.read_text())}


def main() -> None:
    """Answer jobs until there are none."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_job(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
