"""The picture of the page in README is one that a command takes, of the click asked in Python."""

from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image

from docs.show_page import CLICK_PX, PICTURE, main
from docs.show_predictions import PYTHON
from tests.fixtures.browser import find_browser
from tests.fixtures.dvc_stages import ROOT

MOST_BYTES: Final = 200_000


def test_readme_shows_it_before_the_lines_of_python() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert 0 < readme.index("make demo") < readme.index(f"]({PICTURE})") < readme.index(PYTHON)
    assert f"point_coords=[{list(CLICK_PX)}]" in PYTHON
    assert (ROOT / PICTURE).stat().st_size < MOST_BYTES


@pytest.mark.slow
def test_the_command_takes_such_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_browser()
    monkeypatch.chdir(tmp_path)
    PICTURE.parent.mkdir()
    main()
    assert PICTURE.stat().st_size < MOST_BYTES
    pictures = [Image.open(path).convert("RGB") for path in (PICTURE, ROOT / PICTURE)]
    # Fonts, and with them the height, are those of the machine.
    assert pictures[0].width == pictures[1].width
    taken, shown = (np.asarray(one.resize((8, 8))).astype(float) for one in pictures)
    np.testing.assert_allclose(taken, shown, atol=40)
