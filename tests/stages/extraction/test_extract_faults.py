"""Stage ``extract`` refuses bad input in one line that names it, and publishes nothing."""

import shutil
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from stages import extract_train
from storage.folders import sha256_file
from storage.paths import POOL
from tests.fixtures.extract_project import IMAGES, SPLIT, draw_project, refused, run

Refuse = Callable[..., str]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that awaits ``extract``."""
    root = tmp_path_factory.mktemp("prepared")
    with chdir(root):
        draw_project(n_objects=1)
    return root


@pytest.fixture(autouse=True)
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the prepared project, as the working directory."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    """``extract`` on a cell, ``CELL`` if none is named; gives its error."""
    return partial(refused, capsys)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("shown", "tiny", "identity"), "eval split must be one of drawn, got 'shown'"),
        (
            (SPLIT, "huge", "identity"),
            "model must be one of tiny, small, base_plus, large, got 'huge'",
        ),
        ((SPLIT, "tiny", "fog"), "view must be one of identity, vflip, gnoise, got 'fog'"),
    ],
)
def test_an_unknown_cell(refuse: Refuse, cell: tuple[str, ...], message: str) -> None:
    assert refuse(*cell) == message
    assert not POOL.exists()


def test_a_train_split_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        run(extract_train, SPLIT, "tiny", "identity")
    assert capsys.readouterr().err == "error: train split must be one of taught, got 'drawn'\n"


def enlarge(path: Path) -> None:
    with Image.open(path) as image:
        image.resize((100, 90)).save(path)


def test_an_image_that_changed_since_prepare(refuse: Refuse) -> None:
    path = IMAGES / "square.png"
    former = sha256_file(path)[:12]
    enlarge(path)
    found = sha256_file(path)[:12]
    assert (
        f"square.png: images/square.png must be the file that was listed (sha256 {former}..."
        f"), got {found}...; `dvc repro -f -s prepare@SPLIT` reads it anew"
    ) in refuse()


def test_a_folder_that_is_gone_is_named_instead_of_its_images(refuse: Refuse) -> None:
    IMAGES.rename("elsewhere")
    assert refuse() == (
        "images must be in the folder images, got no such folder: put it there and run again"
    )
