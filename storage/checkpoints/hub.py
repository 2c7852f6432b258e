"""Weights in the cache of Hugging Face's library, and their way into it."""

import os
from importlib import import_module
from pathlib import Path

from storage.errors import WeightsError


def by_digest(sha256: str) -> Path | None:
    """A file of any repository; the cache names large files by their sha256."""
    return next(_cache().glob(f"models--*/blobs/{sha256}"), None)


def by_name(repository: str, file: str) -> Path | None:
    """A repository's file, as it was when it was last downloaded."""
    folder = _cache() / f"models--{repository.replace('/', '--')}"
    revision = folder / "refs" / "main"
    if not revision.is_file():
        return None
    path = folder / "snapshots" / revision.read_text("utf-8").strip() / file
    return path if path.is_file() else None


def fetch(repository: str, file: str, *, licence: str, otherwise: str) -> Path:
    """Download a repository's file into the cache, unless it is there.

    Parameters
    ----------
    licence
        Name of the weights' licence.
    otherwise
        What to do without a network.

    Raises
    ------
    WeightsError
        If the repository lets in only those who have accepted its licence, or cannot be read.
    """
    hub, errors = (import_module(f"huggingface_hub{part}") for part in ("", ".errors"))
    try:
        return Path(hub.hf_hub_download(repository, file))
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{repository} must let you in to its {file}, got no access: log in to Hugging Face, "
            f"accept the {licence} on the page of {repository}, wait until that is granted, run "
            "`hf auth login` and then this again"
        ) from error
    except OSError as error:
        first = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{file} of {repository} must download from Hugging Face, got {first}; run it again "
            f"or, without a network, {otherwise}"
        ) from error


def _cache() -> Path:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
