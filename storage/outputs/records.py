"""Records: JSON files with their own sha256 and the sha256 of the files written with them.

So an edited, truncated or foreign file is not mistaken for a result. Also reads and writes files of
JSON lines, which grow during a run.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from storage.errors import N_HEX, DataError
from storage.folders import sha256_file, write_json
from storage.paths import remedy, repair_advice

FILES: Final = "files"
"""Key of a record: sha256 of each file beside the record, by file name."""

SHA256: Final = "sha256"
"""Key of a record: sha256 of all other entries."""


def write_record(path: Path, content: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Write a record of ``content`` and the sha256 of ``files``, which must exist already."""
    record = {**content, FILES: {file.name: sha256_file(file) for file in files}}
    write_json(path, {**record, SHA256: _sha256(record)})


def read_record(path: Path, stage: str, keys: Collection[str] = ()) -> dict[str, Any]:
    """Read a record, without its own sha256, after checking that the file was not changed.

    Parameters
    ----------
    stage
        Stage that writes the record, for messages.
    keys
        Keys that the record must have.

    Raises
    ------
    DataError
        If the record is missing, was changed, or lacks a key (written by another version).
    """
    check_exists(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} must be JSON, got {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} must be a mapping, got {type(record).__name__}")
    check_holds(path, list(record), (*keys, FILES, SHA256))
    written = record.pop(SHA256)
    _check_same(path, f"the file that the stage {stage} wrote", written, _sha256(record))
    return record


def check_recorded(path: Path, record: Path, files: Mapping[str, str]) -> None:
    """Refuse a file that is missing, or whose sha256 differs from that in the record beside it.

    Parameters
    ----------
    record
        Path of the record, for messages.
    files
        Entry ``FILES`` of the record.

    Raises
    ------
    DataError
        If the file is missing or differs; the message has both digests.
    """
    check_exists(path)
    listed = files.get(path.name, "none")
    _check_same(path, f"the file that {record.name} lists", listed, sha256_file(path))


def check_exists(path: Path) -> None:
    """Refuse a missing file.

    Raises
    ------
    DataError
        If the file is missing; the message has the command that makes it.
    """
    if not path.is_file():
        raise DataError(f"{path} must exist, got none{remedy(path)}")


def check_holds(name: object, names: Collection[str], required: Collection[str]) -> None:
    """Refuse a table or a record that lacks a required column or key.

    Raises
    ------
    DataError
        If ``names`` lacks one of ``required``; the message begins with ``name``.
    """
    if not set(required) <= set(names):
        raise DataError(f"{name} must have {', '.join(required)}, got {', '.join(names)}")


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Append ``content`` as a line of JSON to a file; a missing file is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        # The line break comes first, so that a line cut short by a kill spoils no other.
        file.write("\n" + json.dumps(content))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON lines file; truncated lines are skipped, and a missing file has no lines."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    contents = []
    for line in filter(None, lines):
        with suppress(json.JSONDecodeError):
            contents.append(json.loads(line))
    return contents


def _check_same(path: Path, rule: str, written: object, digest: str) -> None:
    if digest != written:
        raise DataError(
            f"{path} must be {rule}, got an altered or truncated one "
            f"(sha256: {str(written)[:N_HEX]} -> {digest[:N_HEX]}){repair_advice(path)}"
        )


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
