"""Stores as a card lists them: what their signatures and manifests say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import is_zipfile

from stages.settings.parsing import ParamsError
from storage.errors import DataError
from storage.files.manifest import FILE, FileRecord, record_of
from storage.store.describe import StoreDescription, describe, find_stores

HUB: Final = re.compile(r"hf://datasets/(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?")
"""Address of a repository of data on Hugging Face."""

SITE: Final = "https://huggingface.co/datasets"
"""Where its pages and files are for browsers."""


@dataclass(frozen=True)
class Publication:
    """What only the one who publishes knows."""

    address: str
    """Of the folder that the stores' paths are relative to."""
    license: str
    creator: str
    date: str
    version: str

    @property
    def name(self) -> str:
        """Last part of the address, without a revision."""
        return self.address.rpartition("/")[2].partition("@")[0]

    @property
    def page(self) -> str:
        """Address of the whole for browsers."""
        found = HUB.fullmatch(self.address)
        return f"{SITE}/{found['name']}" if found else self.address

    def url(self, path: str) -> str:
        """Address of a file for programs that know nothing but URLs."""
        found = HUB.fullmatch(self.address)
        folder = f"{self.page}/resolve/{found['revision'] or 'main'}" if found else self.address
        return f"{folder}/{path}"


@dataclass(frozen=True)
class CardStore:
    """A store, and the file of it whose digest holds all others."""

    path: str
    """Relative to the address."""
    described: StoreDescription
    file: str
    record: FileRecord

    def entry(self, key: str) -> str:
        """An entry of the signature; empty if there is none."""
        return str(self.described.signature.get(key, ""))

    @property
    def n_objects(self) -> int:
        """Objects, of which the rows are."""
        return self.described.sizes["object"]

    @property
    def is_zipped(self) -> bool:
        """Whether it is a single file."""
        return self.file == self.path


def card_stores(paths: Sequence[str]) -> list[CardStore]:
    """The stores at some paths, and below them.

    Raises
    ------
    ParamsError
        If a path is not below the working folder.
    StoreError
        If nothing is there, or the metadata of a store are damaged.
    DataError
        If a store lacks files.
    """
    for path in paths:
        if Path(path).is_absolute() or "://" in path or ".." in Path(path).parts:
            raise ParamsError(
                f"STORE must be a path below the working folder, as it will be below the address, "
                f"got {path}"
            )
    found = dict.fromkeys(store for path in paths for store in find_stores(Path(path)))
    return [_read(store) for store in found]


def _read(store: Path) -> CardStore:
    described = describe(store)
    if described.faulty:
        raise DataError(f"{store} must be complete, got {len(described.faulty)} faulty files")
    file = store if is_zipfile(store) else store / FILE
    return CardStore(store.as_posix(), described, file.as_posix(), record_of(file))


def n_objects(stores: Sequence[CardStore]) -> int:
    """Objects of all splits."""
    splits = {one.entry("split"): one.n_objects for one in stores if one.entry("split")}
    return sum((splits or {one.path: one.n_objects for one in stores}).values())
