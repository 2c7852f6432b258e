"""The list of the report's tables."""

from pathlib import Path
from typing import get_args

import pytest

from pipeline.vocabulary import PROTOCOLS, TASKS
from stages.settings.blocks import PaperDataSet
from stages.tables.catalogue import (
    REPORT_TABLES,
    RUNTIME,
    TRIALS,
    report_tables,
)
from stages.tables.report_table import Inputs, ReportTable, Section
from storage.outputs.results import SplitResults, read_all_trials
from storage.paths import results_dir
from tests.fixtures.mini import MODELS
from tests.fixtures.report_inputs import draw_gallery, draw_runtime


@pytest.mark.parametrize("row", REPORT_TABLES, ids=lambda row: row.name)
def test_a_row_tells_what_the_page_needs(row: ReportTable) -> None:
    assert row.heading
    assert row.caption or not row.is_grid
    assert row.number_format % 0.5


def test_no_two_tables_share_a_file() -> None:
    files = [
        row.file(one, protocol)
        for row in REPORT_TABLES
        for protocol in row.protocols
        for one in (TASKS if "{task}" in row.name else ["split_a"])
    ]
    assert len(set(files)) == len(files)


def test_tables_stand_in_the_order_of_the_pages_sections() -> None:
    places = [get_args(Section).index(row.section) for row in REPORT_TABLES]
    assert places == sorted(places)


def test_every_table_but_those_of_heads_machine_and_all_masks_is_of_each_protocol() -> None:
    of_all = [row for row in REPORT_TABLES if row.protocols == ("",)]
    assert {row.name for row in of_all} >= {"iou", TRIALS.name, RUNTIME.name}
    assert {row.section for row in of_all} == {"iou", "trials", "runtime"}
    assert {row.protocols for row in REPORT_TABLES if row not in of_all} == {PROTOCOLS}


def test_the_papers_numbers_stand_beside_the_best_masks_alone(
    results: dict[str, SplitResults], evaluated: Path
) -> None:
    data_sets: dict[str, PaperDataSet] = {"coco_val": "COCO", "coco_train": "COCO"}
    galleries = {split: draw_gallery(evaluated / results_dir(split)).table for split in results}
    given = Inputs(results, galleries, read_all_trials([], MODELS), draw_runtime("mini"), data_sets)
    made = report_tables(given)
    names = {name for name, table in made.items() if table.filter(like="_paper").size}
    assert names == {
        *(f"best/table{n}_{task}" for n, task in enumerate(TASKS, 1)),
        *(f"best/table{n}_{task}_auc" for n, task in enumerate(TASKS, 11)),
        *("best/table6_token_ablation", "best/table9_best_model", "best/table10_iou_by_view"),
        "best/correlation_coco_val",
    }
    # The paper's "both" of Table 6 is the row of the heads that read both tokens.
    shown = made["best/table6_token_ablation"].set_index(["tokens", "measure", "trained_on"])
    told = shown["coco_val_paper"].dropna().to_dict()
    assert told == {
        (tokens, measure, "coco_train"): value
        for tokens, values in {
            "no_mask": (61.19, 72.08, 86.89),
            "no_iou": (62.63, 76.42, 91.96),
            "both": (63.66, 78.30, 94.82),
        }.items()
        for measure, value in zip(("delta_theta", "delta_xp", "delta_a"), values, strict=True)
    }
