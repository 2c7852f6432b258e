"""``usam encode``: a folder's embeddings, resumed and grown."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline.embeddings import levels_sha256
from stages.cli.app import app
from stages.cli.encode import _model_of, read_rows
from stages.extraction.models import load_sam
from storage.images.image_files import read_rgb
from storage.pool.cell import Cell
from storage.split.sharded_table import ShardedTable
from storage.store.checks import damaged_files
from storage.store.embedding_rows import find_image, read_embedding
from storage.store.inspection import open_store
from storage.store.opening import open_embeddings
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import (
    IMAGES,
    SIZES_PX,
    encoded_images,
    files_of,
    flip,
)

STORE = Path("photos.zarr")


@pytest.fixture(autouse=True)
def project(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of images, in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(extracted / IMAGES, IMAGES)

    def in_twos(folder: Path, encoded: Sequence[str] = ()) -> ShardedTable:
        return replace(read_rows(folder, encoded), shard_rows=2)

    monkeypatch.setattr("stages.cli.encode.read_rows", in_twos)


def usam_encode(*options: str, out: str = str(STORE)) -> Result:
    return CliRunner().invoke(app, ["encode", str(IMAGES), "--out", out, *options])


def test_a_folder_becomes_a_store_of_its_images() -> None:
    done = usam_encode()
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("photos.zarr: 5 images by mini-photos tiny, 1.")
    embeddings = open_embeddings(
        STORE, {"family": "mini-photos", "model": "tiny", "precision": "fp32"}
    )
    assert embeddings["file"].to_numpy().tolist() == sorted(SIZES_PX)
    sam = load_sam("mini-photos", "tiny", precision="fp32", device="cpu")
    for file in SIZES_PX:
        stored = read_embedding(embeddings, find_image(embeddings, file))
        levels = sam.encode(read_rgb(IMAGES / file)).levels()
        assert levels_sha256(levels) == levels_sha256(stored.levels)


def test_a_store_keeps_its_family_unless_it_is_replaced() -> None:
    assert usam_encode("--family", "mini").exit_code == 0
    with encoded_images() as encoded:
        continued = usam_encode()
    assert (continued.exit_code, len(encoded)) == (0, 0), continued.stderr
    for options, family in ((), "mini"), (("--replace",), "mini-photos"):
        assert usam_encode(*options).exit_code == 0
        open_embeddings(STORE, {"family": family})
    refused = usam_encode("--family", "mini")
    assert "under other inputs (family: mini-photos -> mini, weights: " in refused.stderr


def test_the_model_of_a_former_store_goes_with_its_family() -> None:
    assert usam_encode("--family", "mini", "--model", "large").exit_code == 0
    former = open_store(STORE)
    for asked, expected in {
        (None, None): ("mini", "large"),
        ("mini", None): ("mini", "large"),
        ("mini", "tiny"): ("mini", "tiny"),
        ("edgetam", None): ("edgetam", "tiny"),
    }.items():
        assert _model_of(*asked, IMAGES, former) == expected
    assert _model_of(None, None, IMAGES, None) == ("mini-photos", "tiny")


def test_a_stopped_run_continues_and_a_grown_folder_keeps_full_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = Cell.put
    with monkeypatch.context() as patch:

        def fill_the_disk(
            cell: Cell,
            name: str,
            rows: Mapping[str, np.ndarray],
            *,
            maker: str,
            work: Mapping[str, str],
        ) -> None:
            if len(cell.lacking()) == 2:
                raise OSError(28, "No space left on device")
            put(cell, name, rows, maker=maker, work=work)

        patch.setattr(Cell, "put", fill_the_disk)
        assert usam_encode().exit_code == 1
    assert not STORE.exists()
    with encoded_images() as encoded:
        assert usam_encode().exit_code == 0
        n_lacking = len(encoded)  # shards of two images or one, in any order
        assert n_lacking in {3, 4}, "a shard was there"
        whole = files_of(STORE)
        assert usam_encode().exit_code == 0
        assert len(encoded) == n_lacking
        assert files_of(STORE) == whole
        flip(STORE / "finer_level/c.0.0.0.0")
        assert usam_encode().exit_code == 0
        assert len(encoded) == n_lacking + 2, "the damaged shard"
    assert files_of(STORE) == whole
    shutil.copy(IMAGES / "large.png", IMAGES / "a_first.png")
    with encoded_images() as encoded:
        assert usam_encode().exit_code == 0
    assert len(encoded) == 2, "the last shard and the new image"
    assert not [path for path in Path().iterdir() if path.name.endswith(".work")]


DYING: Final = """
import os, sys
from dataclasses import replace

import stages.extraction.steps  # imported once, before the forks
from stages.cli import encode
from stages.cli.app import app
from storage.split.sharded_table import ShardedTable

read_rows = encode.read_rows
encode.read_rows = lambda *folders: replace(read_rows(*folders), shard_rows=2)
n_operations = 0

def dying(operation, last):
    def counted(*arguments, **named):
        global n_operations
        n_operations += 1
        if n_operations == last:
            os.kill(os.getpid(), 9)
        return operation(*arguments, **named)
    return counted

for last in map(int, sys.argv[2:]):
    child = os.fork()
    if not child:
        os.mkdir(str(last))
        for name in ("replace", "rename", "link"):
            setattr(os, name, dying(getattr(os, name), last))
        app(["encode", sys.argv[1], "--out", f"{last}/photos.zarr"], standalone_mode=False)
        print(n_operations, flush=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Encodes a folder once for each argument, and dies at the disk operation of this number."""


def dying_runs(*operations: int) -> list[int]:
    """Numbers that ``DYING`` prints: the signal of each death, after it 0 the operations."""
    command = [sys.executable, "-c", DYING, str(IMAGES), *map(str, operations)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    return [int(line) for line in done.stdout.splitlines() if line.isdecimal()]


def contents(store: Path) -> list[bytes]:
    """Bytes of the files of a store, in the order of their names."""
    return [data for _, data in sorted(files_of(store).items())]


@pytest.mark.slow
def test_killed_anywhere_the_next_run_encodes_what_is_not_there_to_the_same_bytes() -> None:
    n_operations, status = dying_runs(0)
    assert status == 0
    whole = contents(Path("0", STORE))
    inner = np.random.default_rng(3).integers(2, n_operations, 4).tolist()
    moments = sorted({1, *inner, n_operations})
    assert dying_runs(*moments) == [signal.SIGKILL] * len(moments)
    n_encoded = []
    for moment in moments:
        store = Path(str(moment), STORE)
        assert not store.exists() or damaged_files(store) == {}
        with encoded_images() as encoded:
            assert usam_encode(out=str(store)).exit_code == 0
        assert contents(store) == whole, f"killed at operation {moment}"
        assert [path.name for path in store.parent.iterdir()] == [STORE.name]
        n_encoded.append(len(encoded))
    assert n_encoded == sorted(n_encoded, reverse=True)
    assert (n_encoded[0], n_encoded[-1]) == (len(SIZES_PX), 0)


def test_what_is_no_embeddings_store_is_not_replaced() -> None:
    refused = usam_encode(out=str(IMAGES))
    assert refused.exit_code == 1
    assert "STORE must be free or embeddings, got something else at 'images'" in refused.output
    assert len([*IMAGES.iterdir()]) == len(SIZES_PX)


def test_a_store_of_other_settings_or_images_is_replaced_only_if_asked_for() -> None:
    assert usam_encode().exit_code == 0
    whole = files_of(STORE)
    advice = ": name another --out, or add --replace to replace that store"
    for option, change in (
        ("--model=large", "model: tiny -> large, "),
        ("--precision=bf16", "precision: fp32 -> bf16"),
    ):
        refused = usam_encode(option)
        assert refused.exit_code == 1
        assert refused.output.startswith("error: photos.zarr was written under other inputs (")
        assert change in refused.output
        assert refused.output.endswith(f"{advice}\n")
    for path in sorted(IMAGES.iterdir())[
        :3
    ]:  # as in another folder whose files have the same names
        Image.open(path).rotate(180).save(path)
    refused = usam_encode()
    assert refused.exit_code == 1
    names = ", ".join(sorted(SIZES_PX))
    rule = f"images must have at least half of the images of photos.zarr ({names}) unchanged"
    assert refused.output == f"error: {rule}, got 2 of 5{advice}\n"
    assert files_of(STORE) == whole
    assert usam_encode("--model=large", "--replace").exit_code == 0
    open_embeddings(STORE, {"model": "large"})


def test_a_link_is_followed_or_refused_before_anything_is_encoded() -> None:
    STORE.symlink_to("nowhere")
    refused = usam_encode()
    assert refused.exit_code == 1
    assert "got something else at 'photos.zarr'" in refused.output
    STORE.unlink()
    STORE.symlink_to("elsewhere.zarr")
    assert usam_encode(out="elsewhere.zarr").exit_code == 0
    with encoded_images() as encoded:
        assert usam_encode("--replace").exit_code == 0
    assert not encoded
    assert STORE.is_symlink()


def test_a_folder_of_the_user_beside_the_store_keeps_its_files() -> None:
    mine = Path("photos.zarr.work", "mine.txt")
    mine.parent.mkdir()
    mine.write_text("mine")
    assert usam_encode().exit_code == 0
    assert [*mine.parent.iterdir()] == [mine]


def test_an_image_that_changes_meanwhile_is_named_without_a_command_of_the_pipeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changing(folder: Path, encoded: Sequence[str] = ()) -> ShardedTable:
        rows = read_rows(folder, encoded)
        shutil.copy(folder / "large.png", folder / "square.png")
        return rows

    monkeypatch.setattr("stages.cli.encode.read_rows", changing)
    refused = usam_encode()
    assert refused.exit_code == 1
    assert "square.png must be the file that was listed (sha256 " in refused.output
    assert "dvc" not in refused.output


def test_images_that_cannot_be_read_are_named_before_a_model_is_loaded() -> None:
    (IMAGES / "broken.png").write_bytes(b"no image")
    refused = usam_encode()
    assert refused.exit_code == 1
    assert "images in images must be readable, got images/broken.png must be" in refused.output
    refused = usam_encode(out="ftp://ann:secret@lab.org/photos.zarr")
    expected = "error: STORE must be a path, got the address ftp://***@lab.org/photos.zarr\n"
    assert refused.output == expected
    assert "secret" not in refused.output
