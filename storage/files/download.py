"""Downloads a file whose sha256 is known; it appears under its name when its bytes are checked."""

from pathlib import Path
from typing import Final

from storage.errors import WeightsError
from storage.folders import sha256_file

CHUNK_BYTES: Final = 1 << 20
"""Bytes between reports of progress; pooch's 1 KiB would make a million of them."""


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this sha256; reads all of it."""
    return path.exists() and sha256_file(path) == sha256


def download(url: str, path: Path, sha256: str, *, progressbar: object | None = None) -> Path:
    """Download a file unless an intact one is there; a damaged one is replaced.

    An interrupted download starts over.

    Parameters
    ----------
    progressbar
        A progress bar of pooch.

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
