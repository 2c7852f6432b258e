"""The list of the report's tables."""

from pathlib import Path

import pandas as pd

from pipeline.vocabulary import TASKS
from stages.tables.catalogue import REPORT_TABLES
from storage.paths import RESULTS


def test_no_two_tables_share_a_file() -> None:
    files = [
        row.file(one, protocol)
        for row in REPORT_TABLES
        for protocol in row.protocols
        for one in (TASKS if "{task}" in row.name else ["split_a"])
    ]
    assert len(set(files)) == len(files)


def test_the_papers_numbers_stand_beside_the_best_masks_alone(reported_beside_paper: Path) -> None:
    folder = reported_beside_paper / RESULTS / "tables"
    made = {
        path.relative_to(folder).with_suffix("").as_posix(): pd.read_csv(path)
        for path in folder.rglob("*.csv")
    }
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
