"""The heads that UncertainSAM's authors publish: where they come from and where they go.

They state no licence, so the package has only their names and digests.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.errors import WeightsError
from storage.files.download import download

TABLE: Final = Path(__file__).parent / "published_heads.csv"
"""A line for each head: the family of its models, its name, and its file in the repository."""

REPOSITORY: Final = "GreenAutoML4FAS/UncertainSAM"

COMMIT: Final = "42226ecd39bf9e036af659cb02383d073ff1e7cd"

BASE_URL: Final = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}"
"""Where GitHub serves the repository's files: ``<path>`` below it."""

FOLDER: Final = Path("checkpoints", "heads")
"""Where they are kept: ``<family>/<name>/model.pth`` as published, ``<family>.safetensors`` as one
file of ours.
"""


@dataclass(frozen=True)
class PublishedHead:
    """One line of the table."""

    family: str
    name: str
    path_in_repository: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the file, below the working folder."""
        return FOLDER / self.family / self.name / Path(self.path_in_repository).name


def published_file(family: str) -> Path:
    """Our file of a family's published heads, which need not exist."""
    return FOLDER / f"{family}.safetensors"


def published_families() -> tuple[str, ...]:
    """Those for which heads are published."""
    return tuple(dict.fromkeys(line["family"] for line in _lines()))


def published_heads(family: str) -> list[PublishedHead]:
    """The heads that are published for a family.

    Raises
    ------
    WeightsError
        If there are none.
    """
    found = [
        PublishedHead(family, line["name"], line["path"], line["sha256"])
        for line in _lines()
        if line["family"] == family
    ]
    if not found:
        known = ", ".join(published_families())
        raise WeightsError(f"family must be one with published heads, {known}, got {family!r}")
    return found


def _lines() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def fetch(head: PublishedHead, *, progressbar: object | None = None) -> Path:
    """Download a head, see ``download``.

    Raises
    ------
    WeightsError
        If the server cannot be read or serves another file, or the file cannot be written.
    """
    url = f"{BASE_URL}/{head.path_in_repository}"
    return download(url, head.path, head.sha256, progressbar=progressbar)
