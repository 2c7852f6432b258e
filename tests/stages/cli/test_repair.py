"""``usam cache repair`` runs the model on the images of damaged shards, and on no others."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from PIL import Image
from typer.testing import CliRunner, Result

from stages import extract
from stages.cli.app import app
from stages.filling.fill_cells import run_cell
from stages.settings.signatures import CellName
from storage.errors import StoreError, WeightsError
from storage.head_files.tensors import read_tensors, write_tensors
from storage.paths import CACHE, POOL, features_path, masks_path, objects_path
from storage.pool.dvc_cache import md5_of, repaired_files
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SPLIT,
    TRAIN_SPLIT,
    encoded_images,
    files_of,
    flip,
    images_without,
    outputs,
    refused,
    run,
)


@pytest.fixture(autouse=True)
def project(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose cell is extracted, its pool gone, as the working directory."""
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(POOL)


def usam(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cache", *map(str, arguments)])


def repair(*arguments: object) -> Result:
    return usam("repair", *arguments)


DVC_CACHE = Path(".dvc/cache/files/md5")


def cached(file: Path) -> Path:
    """Where DVC's cache has a file."""
    md5 = hashlib.md5(file.read_bytes()).hexdigest()  # noqa: S324 - as DVC names files
    return DVC_CACHE / md5[:2] / md5[2:]


def put_in_dvc(link: str) -> None:
    """Let DVC's cache have all outputs, which link into it."""
    for file in map(Path, outputs()):
        entry = cached(file)
        entry.parent.mkdir(parents=True, exist_ok=True)
        if not entry.exists():
            file.replace(entry)
            entry.chmod(0o444)
        file.unlink(missing_ok=True)
        if link == "hardlink":
            file.hardlink_to(entry)
        else:
            file.symlink_to(entry.absolute())


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("store", "with_pool", "link"),
    [
        ("features", False, "symlink"),
        ("features", True, "hardlink"),
        ("masks", True, "symlink"),
    ],
)
def test_a_damaged_shard_alone_is_computed_and_put_in_place_also_in_the_cache_of_dvc(
    store: str, *, with_pool: bool, link: str
) -> None:
    put_in_dvc(link)
    wanted, entries = outputs(), files_of(DVC_CACHE)
    path = features_path if store == "features" else masks_path
    file = path(*CELL) / ("iou/c.0.0.0" if store == "features" else "mask_code/c.1.0.0.0.0")
    entry = cached(file)
    if with_pool:  # whose masks are links to what DVC's cache has
        assert usam("adopt").exit_code == 0
    entry.chmod(0o644)
    flip(entry)
    entry.chmod(0o444)
    damaged = entry.read_bytes()
    other = Path("other")
    other.hardlink_to(entry)
    with encoded_images() as encoded:
        result = repair()
    assert result.exit_code == 0, result.output
    assert f"repaired  {'/'.join(CELL)}" in result.stdout
    assert f"replaced  {entry}" in result.stdout
    assert outputs() == wanted
    assert files_of(DVC_CACHE) == entries
    assert other.read_bytes() == damaged, "what links show is never written to"
    if with_pool and store == "features":
        assert not encoded, "the pool has all rows"
    elif store == "masks":
        assert "note: shard 1 of " in result.stderr
        assert set(encoded) == images_without([0, 2])
    else:
        assert set(encoded) == images_without([]), "its chunk has rows of all shards"


@pytest.mark.no_cover
def test_a_cell_that_cannot_be_repaired_keeps_no_other_from_being(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = (*CELL[:2], "vflip")
    run(extract, *other)
    wanted = outputs()
    for cell in (CELL, other):
        (masks_path(*cell) / "mask_code/c.1.0.0.0.0").unlink()
    refused = "/".join(CELL)

    def refuse_one(name: CellName, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        if str(name) == refused:
            raise StoreError("a GPU must be there, got none")
        run_cell(name, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr("stages.cli.cache.run_cell", refuse_one)
        result = repair()
    assert result.exit_code == 1
    assert f"error: {refused}: a GPU must be there, got none\n" in result.stderr
    assert result.stdout == f"repaired  {'/'.join(other)}\n"
    assert repair().exit_code == 0
    assert outputs() == wanted


@pytest.mark.no_cover
def test_a_cell_is_repaired_however_its_folder_is_named_and_then_nothing_is_damaged() -> None:
    wanted = outputs()
    elsewhere = Path("elsewhere")
    elsewhere.symlink_to(Path.cwd())
    folder = elsewhere / masks_path(*CELL)
    (masks_path(*CELL) / "mask_code/c.1.0.0.0.0").unlink()
    result = repair(folder)
    assert (result.exit_code, result.stdout) == (0, f"repaired  {'/'.join(CELL)}\n")
    assert outputs() == wanted
    result = repair(folder)
    assert (result.exit_code, result.stdout) == (0, f"nothing is damaged in {folder}\n")


def commit_outputs(**stages: dict[str, Any]) -> None:
    """Put outputs into DVC's cache, as hard links, as if stages with these commands had run."""
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    with Repo.init(no_scm=True) as repo, repo.config.edit() as config:
        config["cache"]["type"] = ["hardlink"]
    with Repo() as repo:
        repo.commit(force=True)
        repo.checkout(relink=True)


def dvc(command: str) -> None:
    """Run a command of DVC, whose stages import the packages of this repository."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command.split(), env=environment, check=True, capture_output=True)


@pytest.mark.no_cover
@pytest.mark.parametrize("keeps_time", [True, False])
def test_other_damaged_outputs_are_made_again_by_the_commands_that_repair_names(
    *, keeps_time: bool
) -> None:
    store, heads = objects_path(SPLIT), Path("heads/a/best")
    write_tensors(heads / "x.safetensors", {"bias": np.zeros(3)}, {})
    shutil.copytree(heads, "trained")
    prepare = {"cmd": f"{sys.executable} -m stages.prepare ${{item}}", "outs": [str(store)]}
    make = f"mkdir -p heads/a; cp -r trained {heads}"
    train = {"cmd": make, "deps": ["tuned"], "outs": [str(heads)]}
    Path("tuned").touch()
    commit_outputs(
        prepare={"foreach": [SPLIT], "do": prepare},
        tune={"cmd": "exit 1", "outs": ["tuned"]},  # hours, which no remedy may cost
        train={"foreach": ["a"], "do": train},
    )
    intact = files_of(store) | files_of(heads)
    assert (repair().exit_code, repair().stdout) == (0, "nothing is damaged in the outputs\n")
    for file in (store / "file/c.0", heads / "x.safetensors"):
        rot(file, keeps_time=keeps_time)
    with pytest.raises(WeightsError, match="; `usam cache repair` names the command"):
        read_tensors(heads / "x.safetensors")
    with pytest.raises(WeightsError, match=r"; fetch or export it again$"):
        read_tensors((heads / "x.safetensors").absolute())
    result = repair()
    commands = [f"dvc repro -f -s {stage}" for stage in (f"prepare@{SPLIT}", "train@a")]
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"damaged   {output}; `{command}` makes it"
        for output, command in zip((store, heads), commands, strict=True)
    ]
    for command in commands:
        dvc(command)
    assert files_of(store) | files_of(heads) == intact
    assert repair().exit_code == 0
    noted = [md5_of(file) for file in (store / "file/c.0", heads / "x.safetensors")]
    assert repaired_files() == {md5: [] for md5 in noted}, "a remote may have the damaged files"


def test_without_a_store_below_the_cache_heads_and_results_are_looked_at() -> None:
    heads = Path("heads/a/best")
    write_tensors(heads / "x.safetensors", {"bias": np.zeros(3)}, {})
    commit_outputs(train={"cmd": "exit 1", "outs": [str(heads)]})
    shutil.rmtree(CACHE)
    result = repair()
    assert (result.exit_code, result.stdout) == (0, "nothing is damaged in the outputs\n")
    rot(heads / "x.safetensors")
    result = repair()
    assert result.exit_code == 1
    assert result.stdout == f"damaged   {heads}; `dvc repro -f -s train@a` makes it\n"
    assert repair(CACHE).stderr == "error: cache must be a store or hold some, got none\n"


def test_stores_that_no_setting_asks_for_are_removed_or_repaired_when_their_view_is_back() -> None:
    unused = (*CELL[:2], "vflip")
    run(extract, *unused)
    wanted, whole = outputs(), Path("params.yaml").read_text()
    settings = yaml.safe_load(whole)
    del settings["views"]["vflip"], settings["splits"][TRAIN_SPLIT]
    settings["train_splits"] = []
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    (objects_path(TRAIN_SPLIT) / "file/c.0").unlink()
    (masks_path(*unused) / "mask_code/c.1.0.0.0.0").unlink()
    result = repair()
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"damaged   {store}; no cell of params.yaml uses it: remove it, or put its split, model or "
        "view back and run `usam cache repair`"
        for store in (objects_path(TRAIN_SPLIT), masks_path(*unused))
    ]
    shutil.rmtree(objects_path(TRAIN_SPLIT))
    Path("params.yaml").write_text(whole)
    result = repair()
    assert (result.exit_code, result.stdout) == (0, f"repaired  {'/'.join(unused)}\n")
    assert outputs() == wanted


def test_a_cell_that_cannot_be_computed_here_comes_back_from_the_remote(tmp_path: Path) -> None:
    stores = [features_path(*CELL), masks_path(*CELL)]
    commit_outputs(extract={"cmd": "exit 1", "outs": [str(store) for store in stores]})
    with Repo() as repo, repo.config.edit() as config:
        config["remote"]["lab"] = {"url": str(tmp_path / "lab")}
        config["core"]["remote"] = "lab"
    with Repo() as repo:
        repo.push()
    intact = outputs()
    rot(masks_path(*CELL) / "mask_code/c.1.0.0.0.0")
    shutil.rmtree(IMAGES)
    assert repair().exit_code == 1
    shutil.rmtree(masks_path(*CELL))
    dvc(f"dvc pull {masks_path(*CELL)}")
    assert outputs() == intact


@pytest.mark.no_cover
def test_a_changed_image_is_read_anew_by_the_command_that_extract_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = objects_path(SPLIT)
    prepare = {"cmd": f"{sys.executable} -m stages.prepare ${{item}}", "outs": [str(store)]}
    commit_outputs(prepare={"foreach": [SPLIT], "do": prepare})
    for folder in (features_path(*CELL), masks_path(*CELL)):
        shutil.rmtree(folder)
    with Image.open(IMAGES / "square.png") as image:
        Image.fromarray(255 - np.asarray(image)).save(IMAGES / "square.png")
    error = refused(capsys)
    (command,) = re.findall(r"`(dvc repro .*)@SPLIT` reads it anew", error)
    dvc(f"{command}@{SPLIT}")
    run(extract, *CELL)
    assert outputs()


def rot(file: Path, *, keeps_time: bool = True) -> None:
    """Flip a bit of a file and of its links, whose mode stays."""
    status = file.stat()
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    with file.open("r+b") as opened:
        opened.write(data)
    file.chmod(status.st_mode)
    if keeps_time:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
