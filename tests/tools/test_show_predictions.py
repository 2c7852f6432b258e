"""What README and docs/predict.md show of the predictor is what it prints."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from pipeline.predictor.advice import CORRECTIONS
from stages.shell.blocks import ShapesParams
from stages.shell.params import read_params
from tests.fixtures.dvc_stages import ROOT
from tools.blocks import read_block
from tools.show_predictions import (
    PYTHON,
    SHELL,
    advice_table,
    example_table,
    followed,
    python_block,
    shell_block,
)

PREDICT: Final = ROOT / "docs" / "predict.md"
NUMBER: Final = re.compile(r"-?\d+\.\d+")


@pytest.fixture(scope="module")
def shapes() -> ShapesParams:
    return read_params(ROOT / "params.yaml").shapes


def words(text: str) -> str:
    """All but the numbers and the width of columns, which rounding may change elsewhere."""
    return re.sub(r"[ +-]+", " ", NUMBER.sub("", text))


@pytest.mark.parametrize("page", [ROOT / "README.md", PREDICT], ids=lambda page: page.name)
def test_the_lines_of_python_print_what_is_shown(page: Path, shapes: ShapesParams) -> None:
    shown, printed = read_block(page, "python"), f"\n{python_block(shapes)}"
    assert f"```python\n{PYTHON}```" in shown
    assert words(shown) == words(printed), "run `make readme`"
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (shown, printed)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.011)


def test_the_command_prints_what_is_shown(shapes: ShapesParams) -> None:
    shown, printed = read_block(PREDICT, "shell"), f"\n{shell_block(shapes)}"
    assert f"```bash\n{SHELL}\n```" in shown
    assert words(shown) == words(printed), "run `make readme`"
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (shown, printed)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.11)


def test_every_advice_has_a_row_with_what_came_of_it(shapes: ShapesParams) -> None:
    rows = followed(replace(shapes, n_val_images=4))
    cells = [line.strip("| ").split(" | ") for line in advice_table(rows).splitlines()[2:]]
    assert [row[0] for row in cells] == list(CORRECTIONS.values())
    assert sum(int(row[1]) for row in cells) == len(rows)
    by_words = {row[0]: row for row in cells}
    person = rows[rows["advice"] == "segmentation"]
    assert by_words["let a person draw it"][1:] == [
        str(len(person)),
        f"{person['expected'].mean():.2f}",
        f"{person['iou'].mean():.2f}",
        "1.00",
    ]
    kept = rows[rows["advice"] == "keep"]
    assert (kept["iou"] == kept["corrected"]).all()
    assert (rows["expected"][rows["advice"] == "keep"] >= 0.7).all()
    examples = [line.strip("| ").split(" | ") for line in example_table(rows).splitlines()[2:]]
    assert [row[3] for row in examples] == ["keep the mask", "click again", "let a person draw it"]
    for row in examples:
        first = rows[rows["advice"] == next(k for k, v in CORRECTIONS.items() if v == row[3])]
        one = first.iloc[0]
        numbers = [one[name] for name in ("sam_score", "expected", "iou", "corrected")]
        assert [float(row[i]) for i in (1, 2, 4, 5)] == pytest.approx(numbers, abs=0.006)
        assert row[0] == f"`{one['scene']:06}.png`, {one['x']},{one['y']}"
    shown_example = read_block(PREDICT, "example").strip()
    assert words(shown_example) == words(f"\n{example_table(rows)}".strip()), "run `make readme`"
    shown = read_block(PREDICT, "advice").strip().splitlines()
    assert [line.split(" | ")[0] for line in shown] == [
        line.split(" | ")[0] for line in advice_table(rows).splitlines()
    ]
