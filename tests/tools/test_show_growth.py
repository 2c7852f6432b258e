"""How the gain of heads grows with what they learn from: parts, margins, table and sentences."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from pipeline.scoring.bootstrap import Resampled
from pipeline.vocabulary import TASKS
from stages import entropy, evaluate, extract, extract_train, prepare, train, tune
from stages.page.verdict import OWN_HEADS
from stages.prepare import read_records, write_records
from stages.settings.blocks import PrepareParams, Split
from stages.settings.params import read_params
from storage.outputs.results import read_results
from storage.paths import results_dir
from storage.split.object_table import read_objects_of
from tests.fixtures.bsds500 import HEIGHT_PX, WIDTH_PX, write_bsds500
from tests.fixtures.extract_project import draw_project, run
from tests.fixtures.settings import view_settings, write_settings
from tools import show_growth
from tools.blocks import read_block
from tools.show_growth import Margins, Size, growth_block, part_of

MODELS: Final = ("tiny", "large")

N_DRAWS: Final = 401

N_IMAGES: Final = 30


def grid(columns: int) -> np.ndarray:
    """A map of labels: two rows of segments."""
    x, y = np.meshgrid(np.arange(WIDTH_PX), np.arange(HEIGHT_PX))
    labels: np.ndarray = 1 + x * columns // WIDTH_PX + columns * (2 * y // HEIGHT_PX)
    return labels.astype(np.uint16)


def test_a_part_has_the_segments_that_prepare_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = write_bsds500(tmp_path, [[grid(2), grid(5)], [grid(7)], [grid(3)], [grid(6)]])
    whole, settings = Split(**place), PrepareParams(seed=3, min_area_px=1)
    write_records("val", read_records("val", whole, settings), whole, settings)
    table = read_objects_of("val")
    for most in (1, 4, 9, 20):
        drawn = read_records("val", replace(whole, max_objects_per_image=most), settings)
        expected = [(item.image_index, item.object_id) for item in drawn.objects]
        is_in = part_of(table, (4, most), settings.seed)
        found = [*zip(table.image_index[is_in], table.object_id[is_in], strict=True)]
        assert found == expected
        fewer = part_of(table, (2, most), settings.seed)
        assert len(np.unique(table.image_index[fewer])) == 2
        assert not (fewer & ~is_in).any()
        assert (fewer == is_in & np.isin(table.image_index, table.image_index[fewer])).all()


def made_up(draw: Callable[[str, Size], Resampled]) -> Margins:
    """Margins of all tasks and sizes."""
    return {(task, size): draw(task, size) for task in TASKS for size in show_growth.SIZES}


def block_of(margins: Margins) -> tuple[str, list[list[str]]]:
    """Sentences of a block, and the cells of its table."""
    n_objects = {(n, k): n * k for n, k in show_growth.SIZES}
    words, shown = growth_block(margins, n_objects, MODELS, N_IMAGES).split("\n\n")
    return words, [line.strip("| ").split(" | ") for line in shown.splitlines()]


def test_the_table_has_a_row_for_each_size_and_a_column_for_each_task() -> None:
    margins = made_up(lambda task, size: np.full(N_DRAWS, size[0] - size[1] / 10 - len(task)))
    _, (header, _, *rows) = block_of(margins)
    assert header[3:] == ["Model, tiny", "Prompt, tiny", "Task, tiny", "Segmentation, large"]
    assert len(rows) == 9 + 2
    assert rows[2][:4] == ["25", "50", "1,250", "+15.0 (+15.0 to +15.0)"]
    assert rows[8][:3] == ["100", "50", "5,000"]
    ends = [f"{value} ({value} to {value})" for value in ("+90.0", "+89.0", "+91.0", "+83.0")]
    assert rows[8][3:] == ends
    assert rows[9] == ["25 to 100", "15", "", *["+75.0 (+75.0 to +75.0)"] * 4]
    assert rows[10] == ["100", "5 to 50", "", *["−4.5 (−4.5 to −4.5)"] * 4]


def test_sentences_name_the_paired_differences_that_lie_above_zero() -> None:
    shared, noise = np.random.default_rng(0).normal(scale=5, size=(2, N_DRAWS))
    step: Mapping[str, float] = {"model": 0, "prompt": 0.5, "task": -0.7, "segmentation": 0.2}

    def draw(task: str, size: Size) -> Resampled:
        more = size[0] / 25 + np.log(size[1] / 5)
        own = noise if (task, size) == ("segmentation", (100, 50)) else 0
        added: Resampled = shared + step[task] * more + own
        return added

    words, _ = block_of(made_up(draw))
    assert "The test photographs were scored once more for this table." in words
    grown = ("Prompt, 25 to 100 × 15", "Segmentation, 25 to 100 × 15", "Prompt, 100 × 5 to 50")
    assert (
        f"Of their 8 intervals, each of one comparison alone, 3 lie above 0 ({'; '.join(grown)})"
        in words
    )
    words, _ = block_of(made_up(lambda *_: shared))
    assert "alone, 0 lie above 0; where one contains 0" in words


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with the cells and entropies of its eval split, in the working directory."""
    monkeypatch.chdir(tmp_path)
    draw_project()
    place = {"reader": "coco", "images": "images", "annotations": "annotations.json"}
    write_settings(
        tmp_path,
        models=list(MODELS),
        heads=["ours"],
        ablations=[],
        views=view_settings("identity", "gnoise"),
        extra_prompts=["corrected"],
        train_prompts=["corrected"],
        splits={"drawn": place, "taught": place | {"max_objects_per_image": 2}},
        eval_splits=["drawn"],
        train_splits=["taught"],
        train={"seeds": [0]},
        evaluate={"n_resamples": 50},
    )
    run(prepare, "drawn")
    for model in MODELS:
        for view in ("identity", "gnoise"):
            run(extract, "drawn", model, view)
    run(entropy, "drawn")
    monkeypatch.setattr(show_growth, "PARAMS", Path("params.yaml"))
    monkeypatch.setattr(show_growth, "PAGE", Path("page.md"))
    monkeypatch.setattr(show_growth, "SIZES", ((3, 1), (5, 2), (5, 9)))
    monkeypatch.setattr(show_growth, "STEPS", (((3, 1), (5, 2)), ((5, 2), (5, 9))))
    Path("page.md").write_text("<!-- photographs-growth -->\n<!-- /photographs-growth -->\n")
    return tmp_path


@pytest.mark.slow
def test_heads_of_a_part_have_the_margins_of_the_stages_for_a_split_of_that_part(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_growth.main()
    block = read_block(project / "page.md", "photographs-growth")
    *_, of_part, _, _, _ = block.strip().splitlines()
    run(prepare, "taught")
    for model in MODELS:
        run(extract_train, "taught", model, "identity")
    for objective in read_params().objectives:
        run(tune, "taught", objective)
    run(train, "taught", "ours")
    run(evaluate, "drawn")
    rows = read_results(results_dir("drawn")).scores
    rows = rows[(rows["protocol"] == "selected") & (rows["statistic"] == "margin")]
    expected = []
    for task, model in zip(TASKS, ("tiny", "tiny", "tiny", "large"), strict=True):
        name = OWN_HEADS.measures[task]
        is_of = (rows["task"] == task) & (rows["model"] == model) & (rows["measure"] == name)
        (row,) = rows[is_of].to_dict("records")
        value, low, high = (100 * row[key] for key in ("value", "low", "high"))
        expected.append(f"{value:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−"))
    n_objects = read_objects_of("taught").n_objects
    assert of_part == f"| 5 | 2 | {n_objects} | {' | '.join(expected)} |"

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("heads must not be trained again")

    monkeypatch.setattr(show_growth, "train_heads", fail)
    show_growth.main()
    assert read_block(project / "page.md", "photographs-growth") == block
