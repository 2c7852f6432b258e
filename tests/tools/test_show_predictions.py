"""What README, docs/predict.md and the notebook show of the predictor is what it says."""

import base64
import io
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.dvc_stages import PACKAGES, ROOT
from tools.blocks import read_block
from tools.show_notebook import DOCS, run, stored
from tools.show_predictions import PYTHON, SHELL, python_block, shell_block

PREDICT: Final = ROOT / "docs" / "predict.md"
NUMBER: Final = re.compile(r"-?\d+\.\d+")


def words(text: str) -> str:
    """All but the numbers and the width of columns, which rounding may change elsewhere."""
    return re.sub(r"[ +-]+", " ", NUMBER.sub("", text))


def test_the_lines_of_python_print_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown, printed = read_block(ROOT / "README.md", "python"), f"\n{python_block()}"
    assert f"```python\n{PYTHON}```" in shown
    assert words(shown) == words(printed), "run `make results`"
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (shown, printed)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.011)


def test_the_command_prints_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown, printed = read_block(PREDICT, "shell"), f"\n{shell_block()}"
    assert f"```bash\n{SHELL}\n```" in shown
    assert words(shown) == words(printed), "run `make results`"
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (shown, printed)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.11)


def text_of(cell: Any) -> str:  # noqa: ANN401
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


def pictures_of(cell: Any) -> list[np.ndarray]:  # noqa: ANN401
    found = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
    return [
        np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), float)
        for png in found
        if png
    ]


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_imports_nothing_of_the_project_but_usam_cache(path: Path) -> None:
    cells = stored(path.stem).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    modules = set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE))
    assert modules & {"usam_cache", *PACKAGES} == {"usam_cache"}


@pytest.mark.slow
def test_a_new_run_prints_and_draws_what_is_stored() -> None:
    name = "what_a_click_tells"
    for cell, new in zip(stored(name).cells, run(stored(name)).cells, strict=True):
        assert NUMBER.sub("", text_of(cell)) == NUMBER.sub("", text_of(new)), "run `make results`"
        numbers = [[float(n) for n in NUMBER.findall(text_of(one))] for one in (cell, new)]
        # Rounding may differ elsewhere.
        assert numbers[0] == pytest.approx(numbers[1], abs=0.011)
        for picture, drawn in zip(pictures_of(cell), pictures_of(new), strict=True):
            assert picture.shape == drawn.shape
            assert np.abs(picture - drawn).mean() < 3
