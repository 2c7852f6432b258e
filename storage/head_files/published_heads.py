"""The heads that UncertainSAM's authors publish: their addresses, sha256 and local paths.

The authors state no licence, so the package contains names and digests, not the heads.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.errors import WeightsError
from storage.files.download import download

TABLE: Final = Path(__file__).parent / "published_heads.csv"
"""CSV file with a line per head: family, name, file in the authors' repository, bytes, sha256."""

REPOSITORY: Final = "GreenAutoML4FAS/UncertainSAM"

COMMIT: Final = "42226ecd39bf9e036af659cb02383d073ff1e7cd"

BASE_URL: Final = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}"
"""Address of the authors' repository at ``COMMIT``; append ``/<path>`` for a file."""

FOLDER: Final = Path("checkpoints", "heads")
"""Folder of downloaded heads: ``<family>/<name>/model.pth`` as published, and
``<family>.safetensors``, the head file that joins all heads of a family."""


@dataclass(frozen=True)
class PublishedHead:
    """A head that UncertainSAM's authors publish for a model family.

    ``name`` is the authors' name of the head; ``path_in_repository`` is its file.
    """

    family: str
    name: str
    path_in_repository: str
    size_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the downloaded file, relative to the process's current folder."""
        return FOLDER / self.family / self.name / Path(self.path_in_repository).name


def published_file(family: str) -> Path:
    """Path of the head file that joins a family's published heads; the file need not exist.

    It is relative to the process's current folder.
    """
    return FOLDER / f"{family}.safetensors"


def published_families() -> tuple[str, ...]:
    """Names of the model families for which the authors publish heads."""
    return tuple(dict.fromkeys(line["family"] for line in _lines()))


def published_heads(family: str) -> list[PublishedHead]:
    """List the published heads of a model family; a WeightsError if the authors publish none."""
    heads = [
        PublishedHead(family, line["name"], line["path"], int(line["bytes"]), line["sha256"])
        for line in _lines()
        if line["family"] == family
    ]
    if not heads:
        families = " or ".join(published_families())
        raise WeightsError(f"family must be {families} to have published heads, got {family!r}")
    return heads


def _lines() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def fetch(head: PublishedHead, *, advance: Callable[[int], object]) -> Path:
    """Download a published head unless an intact file is at ``head.path``; return this path.

    ``advance`` and errors are as for ``download``.
    """
    url = f"{BASE_URL}/{head.path_in_repository}"
    return download(url, head.path, head.sha256, head.size_bytes, advance=advance)
