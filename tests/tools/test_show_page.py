"""The picture of the page in README is one that a command takes, of the click asked in Python."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.browser import find_browser
from tests.fixtures.dvc_stages import ROOT
from tools.show_page import CLICK_PX, PICTURE
from tools.show_predictions import PYTHON

MOST_BYTES: Final = 200_000


def test_readme_shows_it_before_the_lines_of_python() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert 0 < readme.index("make demo") < readme.index(f"]({PICTURE})") < readme.index(PYTHON)
    assert f"point_coords=[{list(CLICK_PX)}]" in PYTHON
    assert (ROOT / PICTURE).stat().st_size < MOST_BYTES


@pytest.mark.slow
def test_the_command_takes_such_a_picture(tmp_path: Path) -> None:
    find_browser()
    taken_at = tmp_path / PICTURE
    taken_at.parent.mkdir()
    # A process of its own: the browser of other tests has an event loop in this one.
    command = [sys.executable, "-m", "tools.show_page"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    assert taken_at.stat().st_size < MOST_BYTES
    pictures = [Image.open(path).convert("RGB") for path in (taken_at, ROOT / PICTURE)]
    # Fonts, and with them the height, are those of the machine.
    assert pictures[0].width == pictures[1].width
    taken, shown = (np.asarray(one.resize((8, 8))).astype(float) for one in pictures)
    np.testing.assert_allclose(taken, shown, atol=40)
