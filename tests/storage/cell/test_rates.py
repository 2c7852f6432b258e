"""How fast cells were made is known though the work folders are gone."""

import shutil
from pathlib import Path

from storage.cell.rates import RATES, Made, keep_rates, made_below
from storage.store.marks import FOLDER, receipt_of
from tests.fixtures.made_up_cell import N_SHARDS, ORIGINAL, images_of, open_cell, rows_of

DEVICES = ("one", "other", "one")

SIGNATURE = {"model": "tiny", "precision": "fp32", "prompts": ["center"]}


def test_what_receipts_tell_is_kept_when_they_go(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    images = images_of(ORIGINAL)
    for shard, device in enumerate(DEVICES):
        receipt = receipt_of(device, n_objects=shard + 1, seconds=10.0**shard)
        cell.write_shard(shard, rows_of(shard), images[shard], receipt)
    work = tmp_path / "work"
    told = {one.device: (one.n_objects, one.seconds) for one in made_below(work)}
    assert told == {"one": (4, 101.0), "other": (2, 10.0)}

    before = made_below(work)
    keep_rates(cell.folder, work)
    shutil.rmtree(cell.folder)
    assert made_below(work) == before
    assert before[0].signature["precision"] == "fp32"
    (kept,) = (work / RATES).iterdir()
    for damaged in (b"[{", b'[{"device": "one"}]', b"\xff"):
        kept.write_bytes(damaged)
        assert made_below(work) == []


def test_a_folder_that_tells_nothing_leaves_no_file(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    assert made_below(tmp_path / "work") == []
    images = images_of(ORIGINAL)
    for shard in range(N_SHARDS):
        cell.write_shard(shard, rows_of(shard), images[shard])  # taken over: without a receipt
    (cell.folder / FOLDER / "0.json").write_text("{")
    keep_rates(cell.folder, tmp_path / "work")
    shutil.rmtree(cell.folder / "features.zarr")
    keep_rates(cell.folder, tmp_path / "work")
    assert list((tmp_path / "work").glob(f"{RATES}/*")) == []


def test_cells_of_other_splits_and_views_take_as_long_those_of_other_settings_do_not() -> None:
    known = {**SIGNATURE, "split": "pilot", "view": "identity", "schema_version": 2}
    made = Made(known, "cpu", 10, 5.0)
    assert made.is_under({**SIGNATURE, "split": "all", "view": "vflip", "compile": False})
    assert not made.is_under({**SIGNATURE, "precision": "bf16"})
    assert not made.is_under({**SIGNATURE, "compile": True})
