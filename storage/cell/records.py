"""Records of the files of each finished shard: a damaged one is found before it is published."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from storage.files.manifest import FileRecord, Manifest, record_of
from storage.folders import whole_file

FOLDER: Final = "records"
"""Folder in a work folder, one file per shard inside."""


def keep_records(folder: Path, shard: int, files: Sequence[Path]) -> None:
    """Record the files of a shard that was just written, by their names below ``folder``."""
    records = {file.relative_to(folder).as_posix(): record_of(file) for file in files}
    with whole_file(_path(folder, shard)) as partial:
        text = json.dumps({name: [r.n_bytes, r.sha256] for name, r in records.items()}, indent=1)
        partial.write_text(f"{text}\n", "utf-8")


def load_records(folder: Path, shard: int) -> Manifest | None:
    """Records of a shard; None if they are missing or damaged."""
    try:
        records = json.loads(_path(folder, shard).read_bytes())
        return {name: FileRecord(int(n), str(sha256)) for name, (n, sha256) in records.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def drop_records(folder: Path, shard: int) -> None:
    """Forget the files of a shard that is about to be written again."""
    _path(folder, shard).unlink(missing_ok=True)


def shard_damage(folder: Path, shard: int) -> str | None:
    """What is wrong with the files of a finished shard; None if they are as they were written."""
    records = load_records(folder, shard)
    if records is None:
        return "no record of its files"
    for name, record in records.items():
        path = folder / name
        if not path.exists():
            return f"{name} is missing"
        if (found := record_of(path)) != record:
            return (
                f"{name} must have {record.n_bytes} bytes with sha256 {record.sha256[:12]}, "
                f"got {found.n_bytes} with {found.sha256[:12]}"
            )
    return None


def _path(folder: Path, shard: int) -> Path:
    return folder / FOLDER / f"{shard}.json"
