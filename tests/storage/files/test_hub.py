"""Stores at addresses of Hugging Face, up to where the network begins."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO

import pytest
import xarray
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from storage.errors import StoreError
from storage.store import opening
from storage.store.checks import damaged_files

ADDRESS = "hf://datasets/ann/usam@refs%2Fpr%2F1/cache/masks/identity.zarr"


class HttpError(Exception):
    """What the HTTP library of huggingface_hub raises."""


class HubHttpError(HttpError, OSError):
    """What huggingface_hub makes of it."""


class Hub(MemoryFileSystem):  # type: ignore[misc] # fsspec ships no types
    """In place of ``huggingface_hub.HfFileSystem``, and as little asynchronous."""

    protocol = "hf"
    store: dict[str, object] = {}  # noqa: RUF012 - fsspec's
    pseudo_dirs = [""]  # noqa: RUF012
    is_away = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return f"/{path.removeprefix('hf://').strip('/')}"

    def _open(self, path: str, **options: object) -> IO[bytes]:
        self.ask()
        opened: IO[bytes] = super()._open(path, **options)
        return opened

    def cat_file(self, path: str, *place: object, **options: object) -> bytes:
        self.ask()
        return bytes(super().cat_file(path, *place, **options))

    def ask(self) -> None:
        if self.is_away:
            raise HttpError("[Errno 111] Connection refused")


@pytest.fixture
def hub(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A revision of a repository that has a store."""
    errors = ModuleType("huggingface_hub.errors")
    monkeypatch.setattr(errors, "HfHubHTTPError", HubHttpError, raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", ModuleType("huggingface_hub"))
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    monkeypatch.setitem(_registry, "hf", Hub)
    folder = ADDRESS.removeprefix("hf://")
    Hub().put(str(made / "masks/identity.zarr"), f"/{folder}", recursive=True)
    yield Hub
    Hub.store.clear()
    Hub.pseudo_dirs[:] = [""]
    Hub.clear_instance_cache()


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_store_opens_at_a_revision_of_a_repository(
    hub: type[Hub], made: Path, ending: str
) -> None:
    there = opening.open_masks(f"{ADDRESS}{ending}").load()
    xarray.testing.assert_identical(there, opening.open_masks(made / "masks/identity.zarr").load())
    assert damaged_files(f"{ADDRESS}{ending}") == {}
    assert hub.store


def test_a_server_that_is_away_is_one_line(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_away", True)
    line = r"^hf://.* must be readable, got: \[Errno 111\] Connection refused; if the server was"
    with pytest.raises(StoreError, match=line):
        opening.open_masks(ADDRESS)


def test_without_huggingface_hub_the_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(StoreError, match="must be installed, got none: pip install huggingface_h"):
        opening.open_masks(ADDRESS)
