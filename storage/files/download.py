"""Downloads a file whose sha256 is known; the file gets its name after its bytes were checked."""

from pathlib import Path
from typing import Final

from storage.errors import WeightsError
from storage.folders import sha256_file

CHUNK_BYTES: Final = 1 << 20
"""Bytes between two reports of progress; pooch's default of 1 KiB would make a million reports."""


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file exists and has this sha256; the whole file is read."""
    return path.exists() and sha256_file(path) == sha256


def download(url: str, path: Path, sha256: str, *, progressbar: object | None = None) -> Path:
    """Download a file to ``path``, unless an intact file is there; a damaged file is replaced.

    An interrupted download starts again from the first byte.

    Parameters
    ----------
    progressbar
        Progress bar in the form that pooch takes; None shows no progress.

    Raises
    ------
    WeightsError
        If the server cannot be read or serves another file, or the file cannot be written.
    """
    if is_intact(path, sha256):
        return path
    import pooch  # noqa: PLC0415 - only a download needs it, every stage imports this module

    downloader = pooch.HTTPDownloader(progressbar=progressbar or False, chunk_size=CHUNK_BYTES)
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=downloader,
        )
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{url} must download to {path}, got {error}; run it again or, without a network, "
            f"bring the file from elsewhere as {path.name} into {path.parent}"
        ) from error
    # pooch renames a private temporary file; a cache is shared, so others must be able to read it.
    path.chmod(0o644)
    return path
