"""Marks of the shards of a store in the making: that they are whole, from what, and made by whom.

A mark is bound to the digests of the shard's files: whatever happened to them since, or between two
writers, shows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from storage.files.manifest import FileRecord, Manifest
from storage.folders import put_files
from storage.writers import Writer, this_writer

FOLDER: Final = "marks"
"""Folder beside the stores, one file per shard inside."""


UNKNOWN: Final = "unknown (rows of published stores)"
"""Stands for the kind of device that made rows of published stores, which do not tell."""


@dataclass(frozen=True)
class Receipt:
    """Who made a shard, where, and how long it took; kept out of published stores."""

    writer: Writer
    device: str
    """Name of the processor or the GPU that computed."""
    kinds: tuple[str, ...]
    """Names of all that its rows come from, those of other cells too, or ``UNKNOWN``."""
    n_objects: int
    """Objects that were computed; rows of others were there already."""
    seconds: float
    """Of these objects."""


@dataclass(frozen=True)
class Mark:
    """Says that a shard is whole.

    Attributes
    ----------
    images_sha256
        Digest of the images that it was made from.
    files
        Records of its files in all stores, by their names below the work folder.
    receipt
        None for a shard that was taken over from a published store.
    """

    images_sha256: str
    files: Manifest
    receipt: Receipt | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Names of the processors and GPUs that its rows come from, or ``UNKNOWN``."""
        return frozenset({UNKNOWN} if self.receipt is None else self.receipt.kinds)


def receipt_of(
    device: str, n_objects: int, seconds: float, *, kinds: Iterable[str] | None = None
) -> Receipt:
    """Receipt of this process.

    Parameters
    ----------
    kinds
        What the rows come from, if not from this device alone.
    """
    made_by = (device,) if kinds is None else tuple(sorted(kinds))
    return Receipt(this_writer(), device, made_by, n_objects, round(seconds, 3))


def put_mark(folder: Path, shard: int, mark: Mark) -> None:
    """Mark a shard, in place of any earlier mark; its files are on disk."""
    values = {
        "images_sha256": mark.images_sha256,
        "files": {name: [record.n_bytes, record.sha256] for name, record in mark.files.items()},
        "receipt": None if mark.receipt is None else asdict(mark.receipt),
    }
    put_files({_path(folder, shard): f"{json.dumps(values, indent=1)}\n".encode()})


def load_mark(folder: Path, shard: int) -> Mark | None:
    """Mark of a shard; None if there is none, or a damaged one."""
    try:
        values = json.loads(_path(folder, shard).read_bytes())
        files = {
            str(name): FileRecord(int(n), str(sha256))
            for name, (n, sha256) in values["files"].items()
        }
        return Mark(str(values["images_sha256"]), files, _receipt(values["receipt"]))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _receipt(values: Mapping[str, Any] | None) -> Receipt | None:
    if values is None:
        return None
    kinds = tuple(map(str, values["kinds"]))
    return Receipt(**{**values, "writer": Writer(**values["writer"]), "kinds": kinds})


def _path(folder: Path, shard: int) -> Path:
    return folder / FOLDER / f"{shard}.json"
