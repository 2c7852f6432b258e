"""Every layout through the stages: the same pictures give the same objects, and are extracted."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest

from stages import extract, prepare
from storage.files import addresses
from storage.paths import CACHE, POOL, features_path, objects_path
from storage.split.object_table import ObjectTable, read_objects
from storage.store import opening
from tests.fixtures.extract_project import (
    CELL,
    EXTRACT,
    IMAGES,
    files_of,
    outputs,
    prepare_splits,
    refused,
    run,
)
from tests.fixtures.file_server import file_server
from tests.fixtures.layouts import LAYOUTS, Place, Videos, draw_videos
from tests.fixtures.settings import view_settings, write_settings

# A video a picture: wherever names hold video and frame, the names are the same, too.
VIDEOS = draw_videos(1, 1, 1)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(
    name: str,
    videos: Videos = VIDEOS,
    **changes: Any,  # noqa: ANN401 - a setting each
) -> ObjectTable:
    """Write the pictures in a layout and prepare them as split ``name``."""
    Path(name).mkdir()
    write_params({name: LAYOUTS[name](Path(name), videos) | changes})
    run(prepare, name)
    return read_objects(objects_path(name))


def write_params(splits: dict[str, Place]) -> None:
    write_settings(
        Path(),
        models=["tiny"],
        views=view_settings("identity"),
        eval_splits=list(splits),
        train_splits=[],
        splits=splits,
        extract=EXTRACT,
    )


def test_images_at_an_address_give_the_bytes_of_those_in_a_folder(
    extracted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "RETRY_S", 0.2)
    shutil.copytree(extracted, ".", dirs_exist_ok=True)
    expected = files_of(CACHE / "objects") | outputs()
    shutil.rmtree(CACHE)
    served = IMAGES.rename("served")
    settings = Path("params.yaml")
    settings.write_text(settings.read_text().replace(f"images: {IMAGES}\n", "images: at.txt\n"))
    with file_server(Path()) as server:
        Path("at.txt").write_text(f"{server}/{served}\n", "utf-8")
        prepare_splits()
        run(extract, *CELL)
        assert files_of(CACHE / "objects") | outputs() == expected

        for folder in (POOL, CACHE / "features", CACHE / "masks"):
            shutil.rmtree(folder)
        shutil.copy(served / "large.png", served / "small.png")
        error = refused(capsys)
    assert (
        f"images at {server}/served must be extracted, got 1 that cannot be (small.png: " in error
    )
    assert "small.png must be the file that was listed" in error

    away = refused(capsys)
    assert away.startswith(f"{server}/served must be readable, got: ")
    assert away.endswith("; if the server was away, run it again")


@pytest.mark.no_cover
def test_a_cell_of_videos_is_extracted_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[str]()
    capture = cv2.VideoCapture

    def spy(path: str, backend: int) -> cv2.VideoCapture:
        opened.append(Path(path).name)
        return capture(path, backend)

    table = prepared("sav_videos", draw_videos(5, 4))
    monkeypatch.setattr(cv2, "VideoCapture", spy)
    # The first shard first: a random start reads the first video after the second.
    monkeypatch.setattr("random.randrange", lambda _: 0)
    run(extract, "sav_videos", "tiny", "identity")

    assert opened == ["video0.mp4", "video1.mp4"]
    features = opening.open_features(features_path("sav_videos", "tiny", "identity"))
    assert features.sizes["object"] == table.n_objects


def test_options_stand_in_the_signature_and_lists_do_not() -> None:
    signature = prepared("davis", frames={"stride": 2}).signature
    assert signature["frames"] == "0::2"
    assert "list" not in signature

    assert "frames" not in prepared("coco").signature

    signature = prepared("sav_videos").signature
    assert [signature[key] for key in ("frames", "subsets")] == ["0::1", "all"]

    signature = prepared("masks", void=[255, 7]).signature
    keys = ("objects", "void", "suffix")
    assert [signature[key] for key in keys] == ["values", ["255", "7"], ""]
