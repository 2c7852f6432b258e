"""Stage ``extract`` run again does what is missing and no more, and ends with the same bytes."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.sam.model import Embedding, Sam, Square
from stages import extract
from storage.paths import CACHE, features_path
from storage.store import opening
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    done_shards,
    encoded_images,
    files_of,
    images_without,
    outputs,
    pool_of,
    prepare_splits,
    refused,
    run,
    write_params,
)

BROKEN = ("wide.jpg", "small.png")
"""Images whose failure leaves one of three shards whole."""


@pytest.fixture
def wanted(extracted: Path) -> dict[str, bytes]:
    """Outputs of a run that never failed."""
    with chdir(extracted):
        return outputs()


@pytest.fixture
def finished(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the finished project, as the working directory."""
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def prepared(finished: None) -> None:  # noqa: ARG001 - it is what this one starts from
    """The same, with all that ``extract`` made gone."""
    forget("pool", "features", "masks")


def forget(*kinds: str) -> None:
    for kind in kinds:
        shutil.rmtree(CACHE / kind)


def break_images() -> Callable[[], None]:
    """Spoil the images in ``BROKEN``; gives a function that mends them."""
    good = {IMAGES / file: (IMAGES / file).read_bytes() for file in BROKEN}
    truncated, garbage = good
    truncated.write_bytes(good[truncated][:-600])
    garbage.write_bytes(b"no image")
    prepare_splits()

    def mend() -> None:
        for path, data in good.items():
            path.write_bytes(data)
        prepare_splits()

    return mend


@pytest.mark.no_cover
@pytest.mark.usefixtures("prepared")
def test_images_that_fail_are_named_and_cost_their_shards_alone(
    wanted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    mend = break_images()
    error = refused(capsys)
    assert "got 2 that cannot be (" in error
    assert "(wide.jpg: " in error.replace("; wide.jpg", "(wide.jpg")
    assert "got: image file is truncated" in error
    assert "small.png: images/small.png must be a readable image, got: cannot identify" in error
    assert f"all shards without them are kept in {pool_of().folder}: fix or replace these" in error
    assert done_shards() == [0]
    with encoded_images() as encoded:
        assert refused(capsys).count("wide.jpg: ") == 1
    assert set(encoded) <= images_without([0]) - set(BROKEN), "what was kept is not done again"
    mend()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert set(encoded) == images_without([0])
    assert outputs() == wanted


@pytest.mark.no_cover
@pytest.mark.usefixtures("finished")
def test_an_image_of_another_content_costs_its_shards_and_going_back_nothing(
    wanted: dict[str, bytes],
) -> None:
    good = repaint("square.png")
    prepare_splits()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert "square.png" in encoded
    assert set(encoded) == images_without([1, 2])
    found = outputs()
    assert found != wanted
    forget("pool", "features", "masks")
    run(extract, *CELL)
    assert outputs() == found
    (IMAGES / "square.png").write_bytes(good)
    prepare_splits()
    run(extract, *CELL)
    assert outputs() == wanted


def repaint(file: str) -> bytes:
    """Negate an image; gives the former bytes."""
    path = IMAGES / file
    former = path.read_bytes()
    with Image.open(path) as image:
        Image.fromarray(255 - np.asarray(image)).save(path)
    return former


@pytest.mark.usefixtures("finished")
def test_outputs_that_are_gone_are_published_again_without_the_model(
    wanted: dict[str, bytes],
) -> None:
    forget("features", "masks")
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert encoded == []
    assert outputs() == wanted


@pytest.mark.no_cover
@pytest.mark.usefixtures("prepared")
def test_a_shard_follows_from_its_own_batches_of_the_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(extract, *CELL)
    alone = opening.open_features(features_path(*CELL))["sam_score"].to_numpy()
    write_params(encoder_batch=2)
    encode, batches = Sam.encode_squares, list[int]()

    def spy(sam: Sam, squares: Sequence[Square]) -> list[Embedding]:
        batches.append(len(squares))
        return encode(sam, squares)

    monkeypatch.setattr(Sam, "encode_squares", spy)
    run(extract, *CELL)
    assert max(batches) == 2
    in_batches = opening.open_features(features_path(*CELL))["sam_score"].to_numpy()
    np.testing.assert_allclose(in_batches, alone, atol=1e-4)
    whole = outputs()
    # The second shard shares an image with the first: nothing is carried from one to the other.
    forget("features", "masks")
    cell = pool_of()
    cell.drop(cell.split.names[1])
    run(extract, *CELL)
    assert outputs() == whole


@pytest.mark.no_cover
@pytest.mark.usefixtures("prepared")
def test_shards_under_other_settings_stay_and_serve_when_these_come_back(
    wanted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    mend = break_images()
    refused(capsys)
    former = pool_of().folder
    kept = files_of(former)
    mend()
    write_params(precision="bf16")
    run(extract, *CELL)
    assert files_of(former) == kept
    assert opening.open_features(features_path(*CELL)).attrs["signature"]["precision"] == "bf16"
    write_params()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert set(encoded) == images_without([0])
    assert outputs() == wanted
    write_params(precision="bf16")
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert not encoded
