"""What is done is there: a split that grows or shrinks computes no shard again.

And what was published serves as pool, whether it lies in the cache or in that of DVC alone.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from stages import extract, prepare
from storage.paths import CACHE, POOL, features_path, masks_path
from tests.fixtures.extract_project import (
    CELL,
    SIZES_PX,
    SPLIT,
    encoded_images,
    files_of,
    images_without,
    run,
)
from tests.fixtures.fill_command import fill

pytestmark = pytest.mark.slow

FILES: Final = tuple(SIZES_PX)
OLD: Final = FILES[:4]
"""Images that the split begins with."""

OUTPUTS: Final = (features_path(*CELL), masks_path(*CELL))

Extracted = Callable[[], list[str]]


@pytest.fixture(scope="module")
def of_old_images(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose cell was extracted with the old images alone."""
    root = tmp_path_factory.mktemp("old")
    shutil.copytree(extracted, root, dirs_exist_ok=True)
    with chdir(root):
        shutil.rmtree(POOL)
        forget_outputs()
        shutil.copyfile("annotations.json", "all.json")
        annotate(OLD)
        run(extract, *CELL)
    return root


@pytest.fixture(autouse=True)
def project(of_old_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it, as the working directory."""
    shutil.copytree(of_old_images, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def grow(extracted: Path) -> Extracted:
    """Extract the cell with all images; gives those that were encoded."""

    def grown() -> list[str]:
        annotate(FILES)
        with encoded_images() as encoded:
            run(extract, *CELL)
        with chdir(extracted):
            wanted = published()
        assert published() == wanted, "as if all had been extracted at once"
        return encoded

    return grown


def annotate(files: tuple[str, ...]) -> None:
    """Leave only these images in the split."""
    content: dict[str, Any] = json.loads(Path("all.json").read_text("utf-8"))
    content["images"] = [image for image in content["images"] if image["file_name"] in files]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    Path("annotations.json").write_text(json.dumps(content), "utf-8")
    run(prepare, SPLIT)


def published() -> dict[str, bytes]:
    return files_of(OUTPUTS[0]) | files_of(OUTPUTS[1])


def forget_outputs() -> None:
    """Remove the outputs, as DVC does before it runs a stage again."""
    for path in OUTPUTS:
        shutil.rmtree(path)


@contextmanager
def no_model() -> Iterator[None]:
    """Where no model may be loaded."""

    def load(*_: object) -> None:
        raise AssertionError("no model may be loaded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.extraction.models.kept_model", load)
        yield


def new_images() -> set[str]:
    """Images with objects in the shards that are new when the split grows."""
    return images_without(range(N_OLD_SHARDS))


N_OLD_SHARDS: Final = 2
"""Whole shards of the old images; the last one of them has fewer objects."""


def test_of_a_split_that_grows_the_new_shards_alone_are_computed(grow: Extracted) -> None:
    forget_outputs()
    encoded = grow()
    assert set(encoded) == new_images() < set(FILES)


def test_a_split_that_is_cut_and_grows_again_needs_no_model() -> None:
    annotate(FILES)
    take(1000)
    run(extract, *CELL)
    whole = published()
    for max_objects in (16, 8, 16, 1000):
        take(max_objects)
        with no_model():
            run(extract, *CELL)
    assert published() == whole


def take(max_objects: int) -> None:
    """Prepare so many objects of the split."""
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    params["splits"][SPLIT]["max_objects"] = max_objects
    Path("params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    run(prepare, SPLIT)


def test_what_is_published_serves_as_pool(grow: Extracted) -> None:
    shutil.rmtree(POOL)
    annotate(FILES)
    with encoded_images() as encoded:
        assert fill("/".join(CELL))[0] == 0
    assert set(encoded) == new_images()
    with no_model():
        grow()


def test_what_dvc_alone_has_serves_as_pool(grow: Extracted) -> None:
    # DVC removes the outputs of a stage that it runs again; its cache and dvc.lock have them.
    shutil.rmtree(POOL)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["dvc", "init", "-q"], check=True)
    command = ["dvc", "stage", "add", "-q", "-n", "made"]
    outs = [word for path in OUTPUTS for word in ("-o", path.as_posix())]
    subprocess.run([*command, *outs, "true"], check=True)
    subprocess.run(["dvc", "commit", "-q", "-f", "made"], check=True)
    cached = files_of(Path(".dvc/cache/files"))
    forget_outputs()
    with no_model():
        run(extract, *CELL)
    shutil.rmtree(POOL)
    forget_outputs()
    assert set(grow()) == new_images()
    assert files_of(Path(".dvc/cache/files")) == cached
    assert not list(CACHE.rglob("*.partial"))
