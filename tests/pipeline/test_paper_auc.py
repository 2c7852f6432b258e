"""The paper's own tables, through our formula."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.auc import relative_auc

PAPER_AUC = Path(__file__).parents[3] / "shared" / "paper" / "auc.csv"


@pytest.fixture(scope="module")
def paper() -> dict[tuple[str, str, str, str], float]:
    """Percent of the paper's AUC tables by (table, section, method, dataset)."""
    if not PAPER_AUC.exists():
        pytest.skip("the paper's tables are not here")
    with PAPER_AUC.open(newline="", encoding="utf-8") as file:
        return {
            (row["table"], row["section"], row["method"], row["dataset"]): float(row["percent"])
            for row in csv.DictReader(file)
        }


def count_reproduced(paper: Mapping[tuple[str, str, str, str], float], mose_heads: str) -> int:
    """Cells of Tables 1 to 4 that Tables 11 to 14 give to 0.06 points, twice their rounding."""
    absolute = {"1": "11", "2": "12", "3": "13", "4": "14"}
    n_reproduced = 0
    for (table, _, method, dataset), percent in paper.items():
        if table not in absolute:
            continue
        plain = "model=Large" if table == "4" else ""
        heads = mose_heads if dataset == "MOSE" else dataset
        section = f"trained_on={heads}" if method.startswith("delta") else plain
        auc, oracle, worst = (
            paper[absolute[table], where, name, dataset]
            for where, name in ((section, method), (plain, "oracle"), (plain, "worst"))
        )
        relative = 100 * relative_auc(auc, oracle=oracle, worst=worst)
        n_reproduced += abs(relative - percent) <= 0.06
    return n_reproduced


def test_the_papers_absolute_tables_give_its_relative_ones(
    paper: dict[tuple[str, str, str, str], float],
) -> None:
    assert sum(table in {"1", "2", "3", "4"} for table, *_ in paper) == 125
    # The paper says that MOSE is scored with the heads of SA-V; its numbers are those of COCO.
    assert count_reproduced(paper, "SA-V") == 119
    assert count_reproduced(paper, "COCO") == 125


def test_the_papers_bounds_mirror_each_other_as_ours_do(
    paper: dict[tuple[str, str, str, str], float],
) -> None:
    # Oracle and worst sum to mean IoU before and after: for segmentation the latter is 100 %, and
    # with these means the model task must sum to the best tiny and the best large proposals'.
    for dataset in {dataset for *_, dataset in paper}:

        def bounds(table: str, section: str, dataset: str = dataset) -> float:
            return sum(paper[table, section, name, dataset] for name in ("oracle", "worst"))

        tiny, large = (bounds("14", f"model={model}") - 100 for model in ("Tiny", "Large"))
        assert bounds("11", "") == pytest.approx(tiny + large, abs=0.04)
