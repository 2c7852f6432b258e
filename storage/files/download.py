"""Downloads a file whose sha256 is known; the file gets its name after its bytes were checked."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from storage.errors import WeightsError
from storage.folders import SUFFIX, sha256_file, whole_file

CHUNK_BYTES: Final = 1 << 20
"""Bytes between two reports of progress; pooch's default of 1 KiB would make a million reports."""


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file exists and has this sha256; the whole file is read."""
    return path.exists() and sha256_file(path) == sha256


def download(url: str, path: Path, sha256: str, *, progressbar: object | None = None) -> Path:
    """Download a file to ``path``, which is returned; an intact file stays, another is replaced.

    A download that breaks off leaves its bytes in a hidden file, and the next one continues there.
    ``progressbar`` is in the form that pooch takes; None shows no progress. Raises a WeightsError
    if the server cannot be read or serves a file of another sha256, or the file cannot be written.
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
                _append(url, partial, progressbar)
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


def _append(url: str, path: Path, progressbar: object | None) -> None:
    """Download the bytes that a file lacks and append them.

    From a server that sends no ranges, all bytes are downloaded anew.
    """
    import pooch  # noqa: PLC0415 - only a download needs it, every stage imports this module

    with path.open("ab") as file:

        def begin(response: object, **_: object) -> None:
            # 200: the whole file follows. 416: the file here is not shorter than the server's.
            if getattr(response, "status_code", None) in {200, 416}:
                file.truncate(0)

        downloader = pooch.HTTPDownloader(
            progressbar=progressbar or False,
            chunk_size=CHUNK_BYTES,
            # Offsets count the bytes of the file, not those of a compressed answer.
            headers={"Range": f"bytes={file.tell()}-", "Accept-Encoding": "identity"},
            hooks={"response": begin},
        )
        downloader(url, file, None)
