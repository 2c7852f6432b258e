"""A cell copied while it is written: what the copy lacks shows, and no wrong row is accepted.

``cp`` reads one file after the other while the writer goes on, so each file of a copy may be of
another moment than the one before.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import storage
from storage import folders
from storage.errors import StoreError
from storage.store.signature import digest
from storage.store.verify import verify
from storage.store.writing import full_signature
from tests.fixtures.made_up_cell import SHARD_OBJECTS, SIGNATURE, extract, outputs

Snapshot = dict[str, bytes]

pytestmark = pytest.mark.slow

N_COPIES = 12

WORK = f"work/val/tiny/identity/{digest(full_signature(SIGNATURE, SHARD_OBJECTS))}"
METADATA = [f"{WORK}/{kind}.zarr/zarr.json" for kind in ("features", "masks")]
"""There before any row: nothing is known of a folder without them."""


def snapshot(root: Path) -> Snapshot:
    """All files at one moment."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """What lay there each time that something had appeared, since the work folder was begun."""
    root = tmp_path_factory.mktemp("made")
    found: list[Snapshot] = []

    def seen(flush_one: Callable[[Path], None]) -> Callable[[Path], None]:
        def flush(path: Path) -> None:
            flush_one(path)
            if (files := snapshot(root)) not in found[-1:]:
                found.append(files)

        return flush

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "_flush_one", seen(folders._flush_one))
        extract(root)
    return [moment for moment in (*found, snapshot(root)) if all(map(moment.get, METADATA))]


def torn(moments: list[Snapshot], rng: np.random.Generator) -> Snapshot:
    """A copy in some order of files, begun and ended at some moments."""
    names = sorted({name for moment in moments for name in moment})
    rng.shuffle(names)
    times = np.sort(rng.integers(0, len(moments), len(names)))
    pairs = [(name, moments[time].get(name)) for name, time in zip(names, times, strict=True)]
    return {name: data for name, data in pairs if data is not None}


def write(root: Path, files: Snapshot) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def is_refused(read: Callable[..., Any], store: Path) -> bool:
    try:
        read(store).load()
    except StoreError:
        return True
    return bool(verify(store))


def test_a_torn_copy_of_an_output_is_refused_and_work_goes_on_from_one_of_a_work_folder(
    moments: list[Snapshot], tmp_path: Path
) -> None:
    wanted = outputs(write(tmp_path / "whole", moments[-1]))
    n_refused = n_resumed = 0
    rng = np.random.default_rng(0)
    for copy in range(N_COPIES):
        root = write(tmp_path / str(copy), torn(moments, rng))
        for kind in ("features", "masks"):
            store = root / kind / "identity.zarr"
            if store.exists():
                is_whole = snapshot(store) == snapshot(tmp_path / "whole" / kind / "identity.zarr")
                assert is_refused(getattr(storage, f"open_{kind}"), store) == (not is_whole)
                n_refused += not is_whole
        n_resumed += bool(extract(root))
        # Hidden folders of a writer that lives are left alone.
        assert {name: data for name, data in outputs(root).items() if "/." not in name} == wanted
    assert n_refused
    assert n_resumed
