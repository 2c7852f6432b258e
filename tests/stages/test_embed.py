"""Stage ``embed``: what its store holds; cells that are decoded from it have the same bytes."""

import shutil
from contextlib import chdir, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.embeddings import level_names, levels_sha256, pixels_sha256
from stages import embed, extract, extract_train
from stages.cli.app import app
from stages.executor.tasks import run_here
from stages.extraction.models import load_model
from stages.filling import fill_cells as fill_module
from stages.settings.params import read_params
from storage.images.image_files import read_rgb
from storage.paths import CACHE, POOL, embeddings_path
from storage.store.embedding_rows import read_embedding
from storage.store.opening import open_embeddings
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import (
    IMAGES,
    SIZES_PX,
    SPLIT,
    TRAIN_SPLIT,
    draw_project,
    encoded_images,
    files_of,
    flip,
    outputs,
    run,
    write_params,
)
from tests.fixtures.project_copy import change_params


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project ready for ``embed``; not to be changed."""
    root = tmp_path_factory.mktemp("drawn")
    with chdir(root):
        draw_project(n_objects=2, embedded=[SPLIT])
    return root


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose embeddings are made; not to be changed."""
    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(drawn, root, dirs_exist_ok=True)
    with chdir(root):
        run(embed, SPLIT, "tiny")
    return root


@pytest.fixture(autouse=True)
def project(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of ``drawn``, as the working directory."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def embedded(finished: Path) -> None:
    """The working directory, with the embeddings."""
    shutil.copytree(finished / CACHE, CACHE, dirs_exist_ok=True)


def extract_anew() -> dict[str, bytes]:
    """Extract a cell of the view identity anew; returns the published bytes."""
    for folder in ("features", "masks", "pool"):
        shutil.rmtree(CACHE / folder, ignore_errors=True)
    run(extract, SPLIT, "tiny", "identity")
    return outputs()


@pytest.mark.no_cover
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_store_holds_what_the_model_says_of_each_image(precision: str) -> None:
    write_params(embedded=[SPLIT], precision=precision)
    run(embed, SPLIT, "tiny")
    embeddings = open_embeddings(embeddings_path(SPLIT, "tiny"), {"precision": precision})
    assert embeddings["file"].to_numpy().tolist() == list(SIZES_PX)
    assert embeddings.attrs["signature"]["levels"] == list(level_names(precision))
    sam = load_model(read_params().extract, "tiny")
    for row, file in enumerate(SIZES_PX):
        rgb = read_rgb(IMAGES / file)
        stored, embedding = read_embedding(embeddings, row), sam.encode(rgb)
        assert (stored.size_px, stored.pixels_sha256) == (SIZES_PX[file], pixels_sha256(rgb))
        assert levels_sha256(stored.levels) == levels_sha256(embedding.levels())
        for name, values in embedding.statistics.items():
            np.testing.assert_array_equal(stored.statistics[name], values)


@pytest.mark.no_cover
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cells_decoded_from_embeddings_have_the_same_bytes(precision: str) -> None:
    write_params(embedded=[SPLIT], precision=precision)
    without = extract_anew()
    run(embed, SPLIT, "tiny")
    with encoded_images() as encoded:
        assert extract_anew() == without
    assert not encoded


@pytest.mark.no_cover
@pytest.mark.usefixtures("embedded")
def test_workers_receive_the_embeddings_of_their_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(embedded=[SPLIT], shard_objects=4)
    wanted = extract_anew()
    change_params(Path(), executor={"kind": "local"})
    run_tasks = partial(run_here, n_threads=1)
    monkeypatch.setattr(fill_module, "executor_of", lambda *_, **__: nullcontext(run_tasks))
    with encoded_images() as encoded:
        assert extract_anew() == wanted
    assert not encoded


@pytest.mark.no_cover
@pytest.mark.usefixtures("embedded")
def test_new_prompt_sets_need_neither_images_nor_the_encoder() -> None:
    write_params(embedded=[SPLIT], extra_prompts=["box"])
    shutil.rmtree(IMAGES)
    with encoded_images() as encoded:
        run(extract, SPLIT, "tiny", "identity")
    assert not encoded


@pytest.mark.no_cover
@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize(
    "settings",
    [{"weights": "random-1"}, {"precision": "bf16"}, {"encoder_batch": 2}],
    ids=str,
)
def test_embeddings_of_other_settings_are_not_read(settings: dict[str, Any]) -> None:
    write_params(embedded=[SPLIT], **settings)
    shutil.rmtree(IMAGES)
    with pytest.raises(SystemExit):
        run(extract, SPLIT, "tiny", "identity")
    assert not outputs()


@pytest.mark.no_cover
def test_a_damaged_embedding_is_noted_and_its_image_encoded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    without = extract_anew()
    run(embed, SPLIT, "tiny")
    for folder in ("features", "masks"):
        shutil.rmtree(CACHE / folder)
    for path in [*POOL.glob("*/*/*.npz")]:
        if not [*path.parents[1].rglob("*.level")]:
            path.unlink()
    (level, *_) = POOL.rglob("*.level")
    flip(level)
    with encoded_images() as encoded:
        run(extract, SPLIT, "tiny", "identity")
    assert len(set(encoded)) == 1
    assert "; the image is encoded again" in capsys.readouterr().err
    assert outputs() == without


@pytest.mark.no_cover
@pytest.mark.usefixtures("embedded")
def test_a_killed_run_is_resumed_and_a_grown_split_encodes_new_images_alone() -> None:
    whole = files_of(CACHE / "embeddings")
    shutil.rmtree(CACHE / "embeddings")
    with encoded_images() as encoded:
        run(embed, SPLIT, "tiny")
        assert files_of(CACHE / "embeddings") == whole
        shutil.rmtree(POOL)
        run(embed, SPLIT, "tiny")
    assert not encoded
    assert files_of(CACHE / "embeddings") == whole


def test_only_splits_and_models_of_the_settings_are_embedded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for place, rule in (
        ((TRAIN_SPLIT, "tiny"), f"split of embeddings must be one of {SPLIT}, got '{TRAIN_SPLIT}'"),
        ((SPLIT, "small"), "model of embeddings must be one of tiny, got 'small'"),
    ):
        with pytest.raises(SystemExit):
            run(embed, *place)
        assert capsys.readouterr().err == f"error: {rule}\n"
    assert not (CACHE / "embeddings").exists()


def test_a_train_split_is_decoded_from_embeddings_too() -> None:
    write_params(embedded=[TRAIN_SPLIT])
    run(embed, TRAIN_SPLIT, "tiny")
    with encoded_images() as encoded:
        run(extract_train, TRAIN_SPLIT, "tiny", "identity")
    assert not encoded


def usam(*words: str) -> str:
    """Run a command, which must succeed; returns its output."""
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_fill_encodes_each_image_once_and_the_plan_says_what_that_takes() -> None:
    first = [line.split() for line in usam("plan").splitlines()[:2]]
    assert first[0][-2:] == ["embeddings", "why"]
    assert "1.31 MB" in usam("plan")
    with encoded_images() as encoded:
        usam("fill", f"{SPLIT}/tiny/identity", f"{SPLIT}/tiny/embeddings")
        assert sorted(encoded) == sorted(SIZES_PX)
        run(embed, SPLIT, "tiny")
        run(extract, SPLIT, "tiny", "identity")
        assert len(encoded) == len(SIZES_PX)
    assert "complete" in usam("plan")


def test_a_flipped_bit_of_a_store_is_found_and_repaired() -> None:
    run(embed, SPLIT, "tiny")
    whole, store = files_of(CACHE / "embeddings"), embeddings_path(SPLIT, "tiny")
    flip(store / "finer_level/c.0.0.0.0")
    assert CliRunner().invoke(app, ["cache", "verify", "cache/embeddings"]).exit_code == 1
    for name in ("dvc.yaml", "versions.yaml"):
        shutil.copy(ROOT / name, name)
    repaired = usam("cache", "repair", "cache/embeddings")
    assert f"Running stage 'embed@{SPLIT}-tiny':" in repaired
    assert "nothing is damaged or missing in cache/embeddings\n" in repaired
    assert files_of(CACHE / "embeddings") == whole
    assert "per image" in usam("cache", "ls", str(store))
