"""Downloads a file whose size and sha256 are known; it gets its name after both were checked."""

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.errors import WeightsError
from storage.folders import SUFFIX, sha256_file, whole_file

if TYPE_CHECKING:
    import requests

CHUNK_BYTES: Final = 1 << 20
"""Bytes that are read at once, between two reports of progress."""

TIMEOUT_S: Final = 30
"""Longest wait for a server, in seconds, for the beginning of its answer and for each piece."""


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file exists and has this sha256; the whole file is read."""
    return path.exists() and sha256_file(path) == sha256


def download(
    url: str,
    path: Path,
    sha256: str,
    size_bytes: int,
    *,
    advance: Callable[[int], object] = int,
) -> Path:
    """Download a file to ``path``, which is returned; an intact file stays, another is replaced.

    A download that breaks off leaves its bytes in a hidden file, and the next one continues there.
    An answer that is not as long as the file, such as a page that asks for a password, changes
    nothing on the disk. ``advance`` is called with numbers of bytes as they arrive, and first with
    the number of bytes that are here. Raises a WeightsError if the server cannot be read or serves
    another file, or the file cannot be written.
    """
    if is_intact(path, sha256):
        return path
    unfinished = path.with_name(f".{path.name}.download{SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            # Renamed, so that of two processes only one continues with these bytes.
            with suppress(FileNotFoundError):
                unfinished.rename(partial)
            try:
                _complete(url, partial, size_bytes, advance)
            except BaseException:
                if partial.exists() and partial.stat().st_size:
                    partial.rename(unfinished)
                raise
            _check_bytes(partial, sha256)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(
            f"{url} must download to {path}, got {reason}; run it again or, without a network, "
            f"bring the file from elsewhere as {path.name} into {path.parent}"
        ) from error
    return path


def _check_bytes(path: Path, sha256: str) -> None:
    downloaded = sha256_file(path)
    if downloaded != sha256:
        raise ValueError(f"a file of sha256 {downloaded} in place of {sha256}")


def _complete(url: str, path: Path, size_bytes: int, advance: Callable[[int], object]) -> None:
    """Download the bytes that a file lacks of ``size_bytes``, and append them.

    From a server that sends no ranges, all bytes are downloaded anew.
    """
    import requests  # noqa: PLC0415 - only a download needs it, every stage imports this module

    with path.open("ab") as file:
        if file.tell() >= size_bytes:
            return
        headers = {"Range": f"bytes={file.tell()}-", "Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, timeout=TIMEOUT_S, stream=True) as answer:
            answer.raise_for_status()
            start = _first_byte(answer, file.tell(), size_bytes)
            file.truncate(start)
            file.seek(start)
            advance(start)
            for chunk in answer.iter_content(CHUNK_BYTES):
                advance(file.write(chunk[: size_bytes - file.tell()]))
                if file.tell() == size_bytes:
                    return
    raise ValueError(f"only {path.stat().st_size} of {size_bytes} bytes")


def _first_byte(answer: "requests.Response", begun: int, size_bytes: int) -> int:
    """Place in the file of the first byte of an answer: ``begun`` or, of a whole file, 0.

    Raises a ValueError for an answer that does not say that it is the rest of a file of
    ``size_bytes`` or the whole of it.
    """
    is_rest = answer.status_code == HTTPStatus.PARTIAL_CONTENT
    name = "Content-Range" if is_rest else "Content-Length"
    rule = f"bytes {begun}-{size_bytes - 1}/{size_bytes}" if is_rest else str(size_bytes)
    if (said := answer.headers.get(name)) != rule:
        kind = answer.headers.get("Content-Type", "unknown")
        raise ValueError(f"an answer of type {kind} with {name} {said} in place of {rule}")
    return begun if is_rest else 0
