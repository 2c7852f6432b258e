"""The list of the report's tables."""

from typing import get_args

import pytest

from pipeline.vocabulary import TASKS
from stages.tables.catalogue import ABSOLUTE, RELATIVE, REPORT_TABLES, VIEWS
from stages.tables.report_table import ReportTable, Section


@pytest.mark.parametrize("row", REPORT_TABLES, ids=lambda row: row.name)
def test_a_row_tells_what_the_page_needs(row: ReportTable) -> None:
    assert row.heading
    assert row.caption or not row.is_grid
    assert row.number_format % 0.5


def test_no_two_tables_share_a_file() -> None:
    files = [
        row.file(one)
        for row in REPORT_TABLES
        for one in (TASKS if "{task}" in row.name else ["split_a"])
    ]
    assert len(set(files)) == len(files)


def test_tables_stand_in_the_order_of_the_pages_sections() -> None:
    places = [get_args(Section).index(row.section) for row in REPORT_TABLES]
    assert places == sorted(places)


def test_files_are_named_by_the_papers_tables() -> None:
    assert VIEWS.file() == "table10_iou_by_view"
    assert [RELATIVE.file(task) for task in TASKS] == [
        "table1_model",
        "table2_prompt",
        "table3_task",
        "table4_segmentation",
    ]
    assert [ABSOLUTE.paper_table_of(task) for task in TASKS] == [11, 12, 13, 14]
