from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.errors import ZarrUserWarning

from storage.errors import StoreError
from storage.store import opening, writing
from storage.store.schema import SCHEMA, SCHEMA_VERSION
from storage.store.writing import create_store, write_store

N_OBJECTS = 6


def entropy(**changes: np.ndarray) -> dict[str, Any]:
    """Arrays of a small store."""
    sizes = {"object": N_OBJECTS, "judged": 2, "model": 2}
    arrays = {
        name: np.ones([sizes[dim] for dim in spec.dims], np.float32)
        for name, spec in SCHEMA["entropy"].items()
        if not spec.is_coordinate
    }
    ids = {"object_id": np.arange(N_OBJECTS), "model": ["tiny", "large"]}
    return {**arrays, **ids, **changes}


def test_a_store_that_fits_in_memory_is_written_whole(tmp_path: Path) -> None:
    write_store(tmp_path / "val.zarr", "entropy", entropy(), signature={"views": ["identity"]})
    read = opening.open_entropy(tmp_path / "val.zarr", {"views": ("identity",)})
    assert read.model.values.tolist() == ["tiny", "large"]
    assert read.h_xp.sel(model="large", judged="selected").dims == ("object",)
    assert read.h_y.attrs == {"units": "bit", "long_name": "H_Y, Eq. 4: predictive entropy"}


@pytest.mark.parametrize("kind", SCHEMA)
def test_metadata_are_consolidated_as_zarr_does(tmp_path: Path, kind: str) -> None:
    dims = {dim for spec in SCHEMA[kind].values() for dim in spec.dims if dim not in SCHEMA[kind]}
    sizes = dict.fromkeys(dims - {"shard"}, 4)
    coords = {"object_id": np.arange(4), "prompt": ["center"], "model": ["tiny"]}
    own = {name: values for name, values in coords.items() if name in SCHEMA[kind]}
    create_store(tmp_path / "a.zarr", kind, sizes, signature={"shard_objects": 2}, coords=own)
    ours = (tmp_path / "a.zarr/zarr.json").read_bytes()
    assert b"consolidated_metadata" in ours
    with pytest.warns(ZarrUserWarning, match="not part in the Zarr format 3 specification"):
        zarr.consolidate_metadata(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr/zarr.json").read_bytes() == ours


def test_zeros_are_stored_so_that_an_absent_chunk_is_a_loss(tmp_path: Path) -> None:
    write_store(tmp_path / "val.zarr", "entropy", entropy(object_id=np.zeros(6, int)), signature={})
    assert (tmp_path / "val.zarr/object_id/c.0").exists()
    (tmp_path / "val.zarr/h_y/c.0").unlink()
    lost = zarr.open_array(tmp_path / "val.zarr/h_y", mode="r")[...]
    assert np.isnan(np.asarray(lost)).all()


def test_writing_again_replaces_the_store_and_failing_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "val.zarr"
    write_store(path, "entropy", entropy(), signature={"run": 1})
    write_store(path, "entropy", entropy(), signature={"run": 2})
    with pytest.raises(StoreError, match="h_t must be float32"):
        write_store(path, "entropy", entropy(h_t=np.ones((6, 2))), signature={"run": 3})
    assert opening.open_entropy(path, {"run": 2}).sizes["object"] == N_OBJECTS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"h_y": np.zeros(6)}, r"h_y must be float32 of shape \(6,\) \(object\), got float64"),
        ({"h_a": np.ones((6, 3), np.float32)}, r"must be float32 of shape \(6, 2\) .*\(6, 3\)"),
        ({"h_z": np.zeros(6)}, "must hold .*h_a, .*, got .*h_z"),
    ],
    ids=["dtype", "shape", "name"],
)
def test_arrays_that_are_not_the_schemas_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        write_store(tmp_path / "val.zarr", "entropy", entropy(**changes), signature={})
    assert not list(tmp_path.iterdir())


def test_the_signature_stands_before_any_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "create_array", killed)
    sizes, coords = {"y": 8, "x": 8, "code": 256}, {"object_id": np.arange(6), "prompt": ["center"]}
    with pytest.raises(KeyboardInterrupt):
        create_store(tmp_path, "masks", sizes, signature={"shard_objects": 4}, coords=coords)
    group = zarr.open_group(tmp_path, mode="r")
    assert group.attrs["signature"] == {"schema_version": SCHEMA_VERSION, "shard_objects": 4}
    assert not list(group.members())
