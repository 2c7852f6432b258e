"""README says what docs/results.md says, in the words of the code."""

import re
from collections.abc import Hashable, Mapping
from itertools import product
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from pipeline.scoring.measures import BASELINE, KNOWS_TRUTH, MEASURES
from pipeline.scoring.tasks import default_model
from pipeline.vocabulary import TASKS, USED
from stages.page.labels import TASK_LABELS, measure_label
from stages.page.verdict import (
    LAST_SUBJECT,
    LINES,
    OWN_HEADS,
    PAPER_SUBJECT,
    SUBJECTS,
    last_sentence,
    sentences,
    verdict_table,
)
from stages.tables.pivot import MASKS
from stages.tables.report_table import WITH_BOUNDS
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tools.blocks import read_block, starred
from tools.show_results import (
    DRAWN,
    IS_BASE,
    PAPER_INPUTS_ROW,
    PHOTOGRAPHS,
    REPLICATION,
    WORLDS,
    Margins,
    World,
    better_masks_block,
    better_masks_table,
    calibration_sentence,
    carried_table,
    confirmed,
    inputs_words,
    measure_cells,
    paper_inputs_row,
    paper_words,
    pooled_words,
    replicated,
    replication_words,
)

NUMBER = re.compile(r"[+-]?[\d.]+")


PAGE = ROOT / "docs" / "results.md"

EACH_WORLD = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def said_of(world: World) -> dict[str, str]:
    """Sentences of docs/results.md, by subject."""
    lines = read_block(PAGE, f"{world.name}-summary").replace(r"\*", "*").splitlines()
    bullets = (line.removeprefix("- **") for line in lines if line.startswith("- **"))
    return {
        subject: words for subject, _, words in (bullet.partition("**: ") for bullet in bullets)
    }


def fresh_of(world: World) -> str:
    return read_block(PAGE, "replication") if world is DRAWN else ""


def n_images_of(world: World) -> int:
    (number,) = re.findall(r"objects in (\d+) ", read_block(PAGE, f"{world.name}-summary"))
    return int(number)


def inputs_said(rows: Any, run: Any) -> str:  # noqa: ANN401 - no other part of results is read
    results: Any = SimpleNamespace(scores=pd.DataFrame(rows), run=run)
    return inputs_words(results, "scenes")


def test_what_tokens_are_worth_is_the_paired_difference_to_trees_and_to_ablated_heads() -> None:
    keys: dict[str, Any] = {
        "protocol": USED,
        "train_split": "learned",
        "statistic": "tokens_margin",
        "seed": None,
    }
    margins: dict[str, dict[str, float]] = {
        "selected": {"value": 0, "low": 0, "high": 0},
        "selected_trees": {"value": -0.02, "low": -0.035, "high": 0.001},
    }
    rows = [
        {**keys, "tokens": tokens, "task": task, "model": model, "measure": measure, **value}
        for tokens, value in margins.items()
        for task, model, measure in (
            ("task", "tiny", "delta_a_star_ours"),
            ("task", "tiny", "delta_a_ours"),
            ("task", "large", "delta_a_star_ours"),
            ("segmentation", "large", "usam_ours"),
        )
    ]
    run: dict[str, Any] = {"heads": {"learned": {}}, "models": {"tiny": {}, "large": {}}}
    said = inputs_said(rows, run)
    (clause,) = said.split("each alone, ")[1:]
    assert clause == (
        "beside boosted trees that read statistics of the masks alone: "
        "Task for tiny +2.0 (−0.1 to +3.5), Segmentation for large +2.0 (−0.1 to +3.5)."
    )
    without = pd.DataFrame(rows).query("tokens == 'selected'")
    assert not inputs_said(without, run)


def test_a_row_has_the_inputs_of_the_papers_heads_by_the_training_of_ours() -> None:
    keys = {"protocol": USED, "train_split": "learned", "statistic": "relative", "seed": None}
    number = {"low": 0.6, "high": 0.8}
    of_measures = [("task", "delta_a_star_ours", 0.7), ("task", "delta_a_ours", 0.75)]
    rows = [
        {**keys, **number, "tokens": tokens, "task": task, "model": "tiny"}
        | {"measure": measure, "value": value + (tokens == "selected")}
        for tokens in ("selected", "selected_no_statistics", "selected_trees")
        for task, measure, value in of_measures
    ]
    run: dict[str, Any] = {"heads": {"learned": {}}, "models": {"tiny": {}, "large": {}}}
    results: Any = SimpleNamespace(scores=pd.DataFrame(rows), run=run)
    (row,) = paper_inputs_row(results, "scenes")
    assert row == [*PAPER_INPUTS_ROW, "–", "–", "70.0 (60–80)", "–"]
    results.scores = results.scores.query("tokens == 'selected'")
    assert paper_inputs_row(results, "scenes") == []


def test_errors_of_predicted_ious_are_of_the_largest_model_and_the_first_heads() -> None:
    rows = [
        {
            "protocol": USED,
            "task": "",
            "tokens": "",
            "seed": None,
            "train_split": heads,
            "model": model,
            "measure": measure,
            "statistic": statistic,
            "value": value,
            "low": value / 2,
            "high": 2 * value,
        }
        for statistic, value in (("calibration_error", 0.02), ("root_mean_square", 0.2))
        for measure, heads in (("sam_score", ""), ("usam", "learned"), ("usam", "others"))
        for model in ("tiny", "large")
    ]
    run: dict[str, Any] = {
        "heads": {"learned": {}, "others": {}},
        "models": {"tiny": {}, "large": {}},
    }
    results: Any = SimpleNamespace(scores=pd.DataFrame(rows), run=run)
    numbers = "2.0 (1.0 to 4.0) and 20.0 (10.0 to 40.0)"
    said = calibration_sentence(results, USED)
    assert said.startswith("predicted IoUs of the large model have ")
    assert said.endswith(f"in points, of SamScore {numbers}; USAM {numbers}.")


@EACH_WORLD
def test_the_table_of_better_masks_is_read_back(world: World) -> None:
    block = read_block(PAGE, f"{world.name}-better-masks").strip()
    masks = masks_of_table(block)
    assert better_masks_table(masks) == block
    if world is PHOTOGRAPHS:
        assert better_masks_block(masks) == read_block(ROOT / "README.md", "better-masks")


def test_readme_is_about_photographs() -> None:
    readme = read_block(ROOT / "README.md", "results")
    assert readme == read_block(PAGE, "photographs-summary")
    lines = readme.splitlines()
    rows = [line.split(" | ")[:2] for line in lines if line.startswith("| ")]
    meanings = [[f"| {starred(line.label)}", line.meaning] for line in LINES]
    assert [row for row in rows if row in meanings] == meanings


def test_what_carries_over_is_what_the_margins_of_both_worlds_say() -> None:
    assert carried_table(PAGE) == f"\n{read_block(PAGE, 'carried').strip()}\n"
    rows = [line.strip("| ").split(" | ") for line in carried_table(PAGE).strip().splitlines()[2:]]
    for *_, drawn, photographs, words in rows:
        is_gain = numbers(drawn)[1] > 0, numbers(photographs)[1] > 0
        assert (
            words
            == {
                (True, True): "on both",
                (True, False): "on drawn scenes alone",
                (False, True): "on photographs alone",
                (False, False): "on neither",
            }[is_gain]
        )


@EACH_WORLD
def test_the_sentences_say_what_the_rows_of_the_docs_say(world: World) -> None:
    rows, margins = rows_of_docs(world)
    block, said, n_images = fresh_of(world), said_of(world), n_images_of(world)
    counts, reach = (
        r"^of \d.*? of best masks; ",
        r"the median interval of all reaches [\d.]+ points",
    )
    expected = re.match(counts, last_sentence(rows, n_images))
    assert expected is not None
    assert said[LAST_SUBJECT].startswith(expected[0])
    assert re.search(reach, said[LAST_SUBJECT])
    if block:
        assert said[REPLICATION] == replication_words(rows, block, n_images)
    assert said[PAPER_SUBJECT].endswith(f" {paper_words(margins, MODELS)}")
    of_paper = sentences(rows, n_images)[PAPER_SUBJECT]
    differing = re.compile(r"they differ by .*? points")  # that of the model is in no table
    assert differing.split(said[PAPER_SUBJECT])[0] == differing.split(of_paper)[0]
    shown = measure_cells(verdict_table(confirmed(rows, replicated(block))), TASKS)
    table_of_summary = tables_of(read_block(PAGE, f"{world.name}-summary"))[0]
    of_verdicts = [row for row in table_of_summary[2:] if row[0] != PAPER_INPUTS_ROW[0]]
    assert [row[0:1] + row[2:] for row in of_verdicts] == [row[0:1] + row[2:] for row in shown]


def test_a_sentence_about_a_task_follows_from_the_rows_of_the_docs() -> None:
    rows, _ = rows_of_docs(DRAWN)
    of_docs = said_of(DRAWN)
    kept = confirmed(rows, replicated(fresh_of(DRAWN)))
    # No table has the margins of the model, and what shapes_val chose is in the sentences alone.
    for task, subject in SUBJECTS.items():
        is_free = f"{measure_label('stable_score')}, chosen on" in of_docs[subject]
        chosen = kept["measure"] == ("stable_score" if is_free else OWN_HEADS.measures[task])
        said = sentences(kept.assign(chosen_by=chosen * 1.0), 400)[subject]
        hidden = r"-?(nan|–|[\d.]+) points( \(.*?\))?" if task == "model" else r"$^"
        assert re.sub(hidden, "", said) == re.sub(hidden, "", of_docs[subject])


def test_a_gain_that_other_scenes_lost_is_not_sure() -> None:
    columns = {"protocol": USED, "task": "task", "measure": "h_std", "verdict": "better"}
    rows = pd.DataFrame([columns])
    kept, lost = ({("Task", "H_Std"): f"+1.0 ({low} to +2.0)"} for low in ("+0.1", "−0.1"))
    verdicts = [confirmed(rows, gains)["verdict"].tolist() for gains in (kept, lost, {})]
    assert verdicts == [["better"], ["no better"], ["better"]]


def test_a_pooled_gain_weighs_its_parts_by_their_intervals() -> None:
    row: dict[Hashable, Any] = {"margin": 3.0, "margin_low": 1.0, "margin_high": 5.0}
    alike = pooled_words(row, "+1.0 (−1.0 to +3.0)", 9)
    assert "+2.0 points (+0.6 to +3.4), so it is small, but above 0" in alike
    surer = pooled_words(row, "−0.1 (−0.3 to +0.1)", 9)
    assert surer.endswith("−0.1 points (−0.3 to +0.1), so it is not shown to be above 0")


def tables_of(text: str) -> list[list[list[str]]]:
    """Cells of all tables of a page, by line."""
    blocks = re.findall(r"^\|.*?(?=^[^|]|^$|\Z)", text, re.MULTILINE | re.DOTALL)
    return [
        [line.strip("| ").split(" | ") for line in block.strip().splitlines()] for block in blocks
    ]


def rows_of_docs(world: World) -> tuple[pd.DataFrame, Margins]:
    """Table of comparisons and margins by model, as far as docs/results.md has them."""
    names = {starred(measure_label(measure.name)): measure.name for measure in MEASURES}
    tasks = {label: task for task, label in TASK_LABELS.items()}
    used, best, *of_tasks = tables_of(read_block(PAGE, f"{world.name}-results"))[:-1]
    margins: dict[tuple[str, str, str], Mapping[Hashable, Any]] = {
        (tasks[header[0]], names[label], model): {
            f"margin{end}": value for end, value in zip(WITH_BOUNDS, numbers(cell), strict=True)
        }
        for header, _, *lines in of_tasks
        for label, *cells in lines
        for model, cell in zip(MODELS, cells, strict=True)
    }
    rows: list[dict[Hashable, Any]] = []
    for protocol, (header, _, *lines) in ((USED, used), ("best", best)):
        for (label, *cells), task_label in product(lines, header[1:]):
            cell, task = cells[header.index(task_label) - 1], tasks[task_label]
            if cell == "–":
                continue
            key = task, names[label], default_model(task, MODELS)
            verdict = "better" if "**" in cell else "worse" if cell.startswith("*") else "no better"
            is_compared = key[1] not in {BASELINE, *KNOWS_TRUTH}
            ends = (f"relative{end}" for end in WITH_BOUNDS)
            relative: dict[Hashable, Any] = dict(zip(ends, numbers(cell), strict=False))
            margin = dict(margins.get(key, {})) if protocol == USED else {}
            keys: dict[Hashable, Any] = dict(zip(("task", "measure", "model"), key, strict=True))
            found: dict[Hashable, Any] = {
                "protocol": protocol,
                "verdict": verdict if is_compared else None,
            }
            rows.append({**keys, **found, **relative, **margin})
    found_rows = pd.DataFrame(rows).assign(chosen_by=0.0, choosing_margin=1.0, lowest=-1.0)
    return found_rows.assign(chosen_on=world.chosen_on, highest=1.0), margins


def masks_of_table(block: str) -> pd.DataFrame:
    """Scores of ``better_masks``, as far as the table of docs/results.md has their digits."""
    header, _, *lines = (line.strip("| ").split(" | ") for line in block.splitlines())
    names = {label: name for name, label in MASKS.items()}
    rows = []
    for label, *cells, shares in lines:
        name = names[label]
        statistic = "mask_iou" if name in IS_BASE else "mask_gain"
        changed = dict(zip(("changed", "gained", "lost"), numbers(shares), strict=False))
        for model, cell in zip(header[1:-1], cells, strict=True):
            value, low, high = numbers(cell)
            bounds = {statistic: value, f"{statistic}_low": low, f"{statistic}_high": high}
            rows.append({"model": model, "choice": name, **bounds, **changed})
    return pd.DataFrame(rows)


def numbers(cell: str) -> list[float]:
    # A little lower where negative: the sign of -0.0 would be lost.
    numbers = NUMBER.findall(cell.replace("−", "-"))
    return [float(number) - 1e-6 * number.startswith("-") for number in numbers]
