"""Results on disk come back as they were, and faults in them are named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from storage.errors import DataError
from storage.outputs import tables
from storage.outputs.csv_forms import RANKING, SPLIT_TABLES
from storage.outputs.results import (
    RUN_KEYS,
    SplitResults,
    read_ranking,
    read_results,
    read_runtime,
    write_runtime,
)
from storage.outputs.tables import read_blocks, read_table
from tests.fixtures.report_inputs import draw_runtime, write_split_results

VALUES = {
    str: ["a", "b", "c"],
    int: [0, 2, 1],
    float: np.array([0.1, np.nan, 1 / 3], np.float32),
}
"""Of a column, by what it holds."""


def small_results() -> SplitResults:
    made = {}
    for name, table in SPLIT_TABLES.items():
        made[name] = pd.DataFrame({column.name: VALUES[column.kind] for column in table.declared})
        if "train_split" in table.columns:
            made[name]["train_split"] = ["", "nan", "NA"]
    run = dict.fromkeys(RUN_KEYS, "Θ") | {"models": {"tiny": {"seed": 0, "prompts": ["center"]}}}
    return SplitResults(**made, run=run)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    written = small_results()
    write_split_results(tmp_path / "split", written)
    found = read_results(tmp_path / "split")
    for name in SPLIT_TABLES:
        pd.testing.assert_frame_equal(
            getattr(found, name), getattr(written, name), check_dtype=False, rtol=1e-7
        )
    assert found.run == written.run


def test_tables_of_objects_can_be_read_by_column(tmp_path: Path) -> None:
    write_split_results(tmp_path, small_results())
    whole, found = read_results(tmp_path), read_results(tmp_path, of_objects=("iou", "group"))
    assert list(found.objects) == ["iou", "group"]
    pd.testing.assert_frame_equal(found.objects, whole.objects[["iou", "group"]])
    pd.testing.assert_frame_equal(found.scores, whole.scores)


def test_a_ranking_is_the_same_in_blocks_and_held_to_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BLOCK_ROWS", 2)
    write_split_results(tmp_path, small_results())
    path = tmp_path / "ranking.csv"
    blocks = list(read_ranking(tmp_path))
    assert [len(block) for block in blocks] == [2, 1]
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), read_table(path, RANKING))
    with pytest.raises(DataError, match=r"ranking\.csv must have .*, group, .*, got"):
        list(read_blocks(path, SPLIT_TABLES["objects"]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"ranking\.csv must be the file that run\.json lists"):
        read_ranking(tmp_path)


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_split_results(tmp_path / folder, small_results())
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
        assert b"\r" not in path.read_bytes()


@pytest.mark.parametrize("name", ["scores.csv", "run.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_split_results(tmp_path, small_results())
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"{name} must exist, got none"):
        read_results(tmp_path)


def test_a_cut_table_is_named_whichever_it_is(tmp_path: Path) -> None:
    write_split_results(tmp_path, small_results())
    for name in (*SPLIT_TABLES, "ranking"):
        path = tmp_path / f"{name}.csv"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(DataError, match=rf"{name}.csv must be the file that run.json lists"):
            read_results(tmp_path)
        path.write_bytes(whole)


def test_a_table_of_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text("task,model\n")
    with pytest.raises(DataError, match=r"curves\.csv must have protocol, .* got task"):
        read_table(tmp_path / "curves.csv", SPLIT_TABLES["curves"])


def test_seconds_without_a_method_are_refused(tmp_path: Path) -> None:
    path, timed = tmp_path / "runtime.csv", draw_runtime("mini")
    models = timed["model"].unique()
    for n_rows in range(len(timed)):
        write_runtime(path, timed.iloc[:n_rows])
        with pytest.raises(DataError, match=r"runtime.csv must have every method of \w+, got"):
            read_runtime(path, models)
    write_runtime(path, timed)
    assert len(read_runtime(path, models)) == len(timed)


@pytest.mark.parametrize("name", ["objects", "run"])
def test_incomplete_results_leave_those_before(tmp_path: Path, name: str) -> None:
    results = small_results()
    write_split_results(tmp_path / "split", results)
    before = {path.name: path.read_bytes() for path in (tmp_path / "split").iterdir()}
    faulty: Any = {} if name == "run" else results.objects.iloc[:, 1:]
    with pytest.raises(DataError, match=f"{name}.* must have"):
        write_split_results(tmp_path / "split", replace(results, **{name: faulty}))
    assert {path.name: path.read_bytes() for path in (tmp_path / "split").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["split"]
