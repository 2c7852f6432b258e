"""Records: JSON with its own sha256 and those of the files that were written with it.

Files that were edited, cut off or put there by hand are not mistaken for results. Also files of
JSON lines, which grow while work goes on.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from storage.errors import N_HEX, DataError
from storage.folders import sha256_file, write_json
from storage.paths import remedy

FILES: Final = "files"
"""Key of a record: sha256 by the name of a file beside it."""

SHA256: Final = "sha256"
"""Key of a record: digest of all else that it holds."""


def write_record(path: Path, content: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Write a record; ``files`` are written already, and equal ones give equal bytes."""
    record = {**content, FILES: {file.name: sha256_file(file) for file in files}}
    write_json(path, {**record, SHA256: _sha256(record)})


def read_record(path: Path, stage: str, keys: Collection[str] = ()) -> dict[str, Any]:
    """Content of a record and ``FILES``.

    Parameters
    ----------
    stage
        The stage that writes it.
    keys
        Keys that it must have.

    Raises
    ------
    DataError
        If it is missing, lacks a key (written by another version), or is not as it was written.
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
    """Refuse a file that is missing, or is not the one that the record beside it lists.

    Raises
    ------
    DataError
        Naming both digests.
    """
    check_exists(path)
    listed = files.get(path.name, "none")
    _check_same(path, f"the file that {record.name} lists", listed, sha256_file(path))


def check_exists(path: Path) -> None:
    """Check that a file is there.

    Raises
    ------
    DataError
        If not; it says which stage writes the file.
    """
    if not path.is_file():
        raise DataError(f"{path} must exist, got none{remedy(path)}")


def check_holds(name: object, names: Collection[str], required: Collection[str]) -> None:
    """Check that a table or a record has the columns or keys that it needs.

    Raises
    ------
    DataError
        If one is missing.
    """
    if not set(required) <= set(names):
        raise DataError(f"{name} must have {', '.join(required)}, got {', '.join(names)}")


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file, which need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        # The line break comes first, so that a line cut short by a kill spoils no other.
        file.write("\n" + json.dumps(content))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Content of a file of JSON lines, if it exists; a line that was cut short is skipped."""
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
            f"(sha256: {str(written)[:N_HEX]} -> {digest[:N_HEX]}){remedy(path)}"
        )


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
