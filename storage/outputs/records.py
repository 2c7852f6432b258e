"""Records: JSON files with their own sha256 and the sha256 of the files written with them.

So an edited, truncated or foreign file is not mistaken for a result. Also reads and writes files of
JSON lines, which grow during a run.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from storage.errors import N_HEX, DataError
from storage.folders import named_disk_errors, sha256_file, write_json
from storage.paths import remedy, repair_advice

FILES: Final = "files"
"""Key of a record: sha256 of each file beside the record, by file name."""

SHA256: Final = "sha256"
"""Key of a record: sha256 of all other entries."""


def write_record(path: Path, content: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Write a record of ``content`` and the sha256 of ``files``, which must exist already.

    NaN and infinity in ``content`` raise a ValueError.
    """
    record = {**content, FILES: {file.name: sha256_file(file) for file in files}}
    write_json(path, {**record, SHA256: _sha256(record)})


def read_record(path: Path, stage: str, keys: Collection[str] = ()) -> dict[str, Any]:
    """Read a record, without its own sha256, after checking that the file was not changed.

    The files that the record lists under ``FILES`` are not checked, see ``check_recorded``. Raises
    a DataError if the record is missing, was changed, or lacks one of ``keys`` (written by another
    version). ``stage`` writes the record, for messages.
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
    """Raise a DataError for a missing file, or one whose sha256 differs from that in its record.

    ``record`` is the path of the record beside it, for messages; ``files`` is its entry ``FILES``,
    the sha256 by file name.
    """
    check_exists(path)
    listed = files.get(path.name, "none")
    _check_same(path, f"the file that {record.name} lists", listed, sha256_file(path))


def check_exists(path: Path) -> None:
    """Raise a DataError for a missing file; the message has the command that makes it, if any."""
    if not path.is_file():
        raise DataError(f"{path} must exist, got none{remedy(path)}")


def check_holds(name: object, names: Collection[str], required: Collection[str]) -> None:
    """Raise a DataError for a table or a record ``name`` that lacks a required column or key.

    If ``name`` is a path, the message has the command that makes the file, if any.
    """
    if not set(required) <= set(names):
        advice = remedy(name) if isinstance(name, Path) else ""
        raise DataError(f"{name} must have {', '.join(required)}, got {', '.join(names)}{advice}")


def append_line(path: Path, content: Mapping[str, Any]) -> int:
    """Append ``content`` as a line of JSON to a file, and return the offset of the line in bytes.

    A missing file is made. Several processes may append to one file.
    """
    return append_lines(path, [content])[0]


def append_lines(path: Path, contents: Sequence[Mapping[str, Any]]) -> list[int]:
    """Append lines of JSON, which stay together, and return the offset of each in bytes.

    A missing file is made. Several processes may append to one file. On a full disk, an ``OSError``
    names the file, and a line that is cut short may stay, which readers leave out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The line break comes first, so that a line cut short by a kill spoils no other.
    lines = [b"\n" + json.dumps(content).encode() for content in contents]
    unwritten = b"".join(lines)
    with named_disk_errors(path), path.open("ab", buffering=0) as file:
        # The write that fills the disk stores the first bytes, and only the next write fails.
        while unwritten:
            unwritten = unwritten[file.write(unwritten) :]
        start = file.tell() - sum(map(len, lines))
    starts = accumulate((len(line) for line in lines[:-1]), initial=start + 1)
    return list(starts)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file with a JSON mapping per line, without other lines; a missing file is empty."""
    return [content for _, content in iterate_lines(path)]


def iterate_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the mappings of a JSON lines file, with their offsets in bytes; none if missing."""
    if not path.is_file():
        return
    offset = 0
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                content = json.loads(line)
                if isinstance(content, dict):
                    yield offset, content
            offset += len(line)


def read_line(path: Path, offset: int) -> dict[str, Any]:
    """Read the line of a JSON lines file that begins at an offset in bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        content: dict[str, Any] = json.loads(file.readline())
    return content


def _check_same(path: Path, rule: str, written: object, digest: str) -> None:
    if digest != written:
        raise DataError(
            f"{path} must be {rule}, got an altered or truncated one "
            f"(sha256: {str(written)[:N_HEX]} -> {digest[:N_HEX]}){repair_advice(path)}"
        )


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
