"""``usam cache repair`` runs the stages of damaged and missing outputs, and no others."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dvc.repo import Repo
from PIL import Image
from typer.testing import CliRunner, Result

from stages import extract
from stages.cli import repair as module
from stages.cli import run as steps
from stages.cli.app import app
from stages.filling.fill_cells import adopt_outputs
from storage.errors import DataError, WeightsError
from storage.head_files.tensors import read_tensors, write_tensors
from storage.paths import CACHE, POOL, features_path, masks_path, objects_path
from storage.pool.dvc_cache import cached_file, md5_of, repaired_files
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
    pool_of,
    refused,
    run,
)

STORES = [features_path(*CELL), masks_path(*CELL)]
DVC_CACHE = Path(".dvc/cache/files/md5")


@pytest.fixture(autouse=True)
def project(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose cell is extracted, its pool gone, as the working directory."""
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(POOL)
    for name in ("dvc.yaml", "versions.yaml"):
        shutil.copy(ROOT / name, name)
    monkeypatch.setattr(steps, "_run", run_here)


def run_here(stage: str, command: Sequence[str]) -> None:
    """Run a command of a stage in this process, where the package has its module."""
    if command[:2] == ("python", "-m"):
        try:
            run(import_module(command[2]), *command[3:])
        except SystemExit as ended:
            raise DataError(f"stage {stage} must end with status 0, got {ended.code}") from ended
    else:
        subprocess.run([sys.executable, *command[1:]], check=True)


def usam(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cache", *map(str, arguments)])


def repair(*arguments: object) -> Result:
    return usam("repair", *arguments)


def planned(result: Result) -> list[list[str]]:
    """Output, fault and way of each line of the printed plans."""
    lines = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    return [line for line in lines if len(line) == 3 and line[0] != "output"]


def commit_outputs(link: str = "hardlink", **stages: dict[str, Any]) -> None:
    """Put outputs into DVC's cache, as links, as if stages with these commands had run."""
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    with Repo.init(no_scm=True) as repo, repo.config.edit() as config:
        config["cache"]["type"] = [link]
    with Repo() as repo:
        repo.commit(force=True)
        repo.checkout(relink=True)


def extract_stage(*cell: str) -> dict[str, Any]:
    """The stage that makes a cell, in dvc.yaml."""
    outs = [str(path(*cell)) for path in (features_path, masks_path)]
    return {"cmd": f"python -m stages.extract {' '.join(cell)}", "outs": outs}


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
    commit_outputs(link, extract=extract_stage(*CELL))
    wanted, entries = outputs(), files_of(DVC_CACHE)
    path = features_path if store == "features" else masks_path
    file = path(*CELL) / ("iou/c.0.0.0" if store == "features" else "mask_code/c.1.0.0.0.0")
    entry = cached_file(md5_of(file))
    if with_pool:  # whose masks are links to what DVC's cache has
        adopt_outputs({"cpu": pool_of()})
    entry.chmod(0o644)
    flip(entry)
    entry.chmod(0o444)
    damaged = entry.read_bytes()
    other = Path("other")
    other.hardlink_to(entry)
    with encoded_images() as encoded:
        result = repair()
    assert result.exit_code == 0, result.output
    assert planned(result) == [[str(path(*CELL)), "damaged", "extract"]]
    assert "repaired 1 output; nothing is damaged or missing" in result.stdout
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
def test_a_stage_that_fails_keeps_no_other_from_running_and_its_output_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = (*CELL[:2], "vflip")
    run(extract, *other)
    wanted = outputs()
    for cell in (CELL, other):
        (masks_path(*cell) / "mask_code/c.1.0.0.0.0").unlink()
    left = files_of(masks_path(*CELL))

    def refuse_one(stage: str, command: Sequence[str]) -> None:
        if stage == f"extract@{'-'.join(CELL)}":
            raise DataError("a GPU must be there, got none")
        run_here(stage, command)

    with monkeypatch.context() as patched:
        patched.setattr(steps, "_run", refuse_one)
        result = repair()
    assert result.exit_code == 1
    assert "error: a GPU must be there, got none\n" in result.stderr
    assert files_of(masks_path(*CELL)) == left
    assert files_of(masks_path(*other)).items() <= wanted.items()
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
    assert (result.exit_code, len(planned(result))) == (0, 1)
    assert outputs() == wanted
    result = repair(folder)
    assert (result.exit_code, result.stdout) == (
        *(0, f"nothing is damaged or missing in {folder}\n"),
    )


@pytest.fixture
def of_a_script() -> Path:
    """Heads that a script makes in seconds, of what another stage would take hours to tune."""
    heads = Path("heads/a/best")
    write_tensors(heads / "x.safetensors", {"bias": np.zeros(3)}, {})
    shutil.copytree(heads, "trained")
    Path("train.py").write_text(
        "import shutil as s; s.rmtree('heads', True); s.copytree('trained', 'heads/a/best')"
    )
    Path("tuned").touch()
    prepare = {
        "matrix": {"split": [SPLIT]},
        "cmd": "python -m stages.prepare ${item}",
        "outs": ["cache/objects/${item.split}.zarr"],
    }
    commit_outputs(
        prepare=prepare,
        tune={"cmd": "exit 1", "outs": ["tuned"]},
        train={"cmd": "python train.py", "deps": ["tuned"], "outs": [str(heads)]},
    )
    return heads


@pytest.mark.no_cover
@pytest.mark.parametrize("keeps_time", [True, False])
def test_other_damaged_outputs_are_made_again_by_their_stages_in_order(
    *, keeps_time: bool, of_a_script: Path
) -> None:
    store, heads = objects_path(SPLIT), of_a_script
    intact = files_of(store) | files_of(heads)
    assert (repair().exit_code, repair().stdout) == (
        *(0, "nothing is damaged or missing in the outputs\n"),
    )
    for file in (heads / "x.safetensors", store / "file/c.0"):
        rot(file, keeps_time=keeps_time)
    with pytest.raises(WeightsError, match="; `usam cache repair` makes it again"):
        read_tensors(heads / "x.safetensors")
    with pytest.raises(WeightsError, match=r"; fetch or export it again$"):
        read_tensors((heads / "x.safetensors").absolute())
    plan = [[str(store), "damaged", f"prepare@{SPLIT}"], [str(heads), "damaged", "train"]]
    damaged = files_of(Path())
    result = repair("--dry-run")
    assert (result.exit_code, planned(result)) == (1, plan)
    assert files_of(Path()) == damaged, "a plan alone changes nothing"
    result = repair()
    assert (result.exit_code, planned(result)) == (0, plan)
    assert files_of(store) | files_of(heads) == intact
    noted = [md5_of(file) for file in (store / "file/c.0", heads / "x.safetensors")]
    assert repaired_files() == {md5: [] for md5 in noted}, "a remote may have the damaged files"


def test_what_is_missing_comes_from_the_cache_of_dvc_or_from_its_stage(of_a_script: Path) -> None:
    heads, store = of_a_script, objects_path(SPLIT)
    intact = files_of(store) | files_of(heads)
    entries = files_of(DVC_CACHE)
    shutil.rmtree(store)
    shutil.rmtree(heads)
    cached_file(hashed(intact[str(heads / "x.safetensors")])).unlink()
    result = repair()
    assert planned(result) == [
        [str(store), "missing", "DVC's cache"],
        [str(heads), "missing", "train"],
    ]
    assert (result.exit_code, files_of(store) | files_of(heads)) == (0, intact)
    shutil.rmtree(DVC_CACHE)
    result = repair()
    assert {tuple(line[1:]) for line in planned(result)} == {
        ("damaged in DVC's cache", "the output")
    }
    assert (result.exit_code, files_of(DVC_CACHE)) == (0, entries)


def hashed(data: bytes) -> str:
    """Md5 of bytes, by a file."""
    Path("hashed").write_bytes(data)
    return md5_of(Path("hashed"))


def test_new_bytes_are_recorded_and_stages_that_read_them_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = "import os, time; open('new', 'w').write({}); os.replace('new', '{}')"
    fixed = "; open('new', 'w').write('fixed'); os.replace('new', 'fixed')"
    Path("timed.py").write_text(made.format("str(time.time_ns())", "timed") + fixed)
    Path("shown.py").write_text(made.format("'at ' + open('timed').read()", "shown"))
    Path("drawn.py").write_text(made.format("open('shown').read() + '!'", "drawn"))
    Path("page.py").write_text(made.format("open('timed').read() + open('drawn').read()", "page"))
    for script in ("timed", "shown", "drawn", "page"):
        subprocess.run([sys.executable, f"{script}.py"], check=True)
    commit_outputs(
        "symlink",
        timed={"cmd": "python timed.py", "outs": ["timed", "fixed"]},
        shown={"cmd": "python shown.py", "deps": ["timed"], "outs": ["shown"]},
        drawn={"cmd": "python drawn.py", "deps": ["shown"], "outs": ["drawn"]},
        page={"cmd": "python page.py", "deps": ["timed", "drawn"], "outs": ["page"]},
    )
    assert repair("timed").stdout == "nothing is damaged or missing in timed\n"
    rot(Path("timed"))
    rot(Path("fixed"))
    with monkeypatch.context() as patched:
        patched.setattr(module, "find_spec", lambda _: None)
        result = repair()
    assert result.exit_code == 1
    assert "run `dvc commit -f timed` where it is installed" in result.stderr
    rot(Path("fixed"))
    result = repair()
    assert Path("fixed").read_text() == "fixed"
    assert planned(result) == [
        ["timed", "damaged", "timed"],
        ["fixed", "damaged", "timed"],
        *([name, "of other inputs", name] for name in ("shown", "drawn", "page")),
    ]
    assert result.exit_code == 0
    assert Path("shown").read_text() == f"at {Path('timed').read_text()}"
    assert dvc("dvc status").strip() == "Data and pipelines are up to date."


def test_where_dvc_never_ran_heads_of_ones_own_are_no_damage(of_a_script: Path) -> None:
    rot(of_a_script / "x.safetensors")
    own = files_of(of_a_script)
    shutil.rmtree(".dvc")  # as a clone of a colleague's repository, in which `usam run` ran
    result = repair()
    assert (result.exit_code, planned(result), files_of(of_a_script)) == (0, [], own)
    lock = Path("dvc.lock").read_text("utf-8")
    of_others = re.sub(r"md5: \w+", f"md5: {'0' * 32}", lock)
    for text in (lock, of_others, ""):
        Path("dvc.lock").write_text(text, "utf-8")
        rot(objects_path(SPLIT) / "file/c.0")
        result = repair()
        assert planned(result) == [[str(objects_path(SPLIT)), "damaged", f"prepare@{SPLIT}"]]
        assert (result.exit_code, planned(repair()), "error" in result.stderr) == (0, [], False)
        assert not Path(".dvc").exists()
    Path("dvc.lock").unlink()
    assert planned(repair()) == []


def dvc(command: str) -> str:
    """Run a command of DVC, whose stages import the packages of this repository."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command.split(), env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_without_a_store_below_the_cache_heads_and_results_are_looked_at(of_a_script: Path) -> None:
    shutil.rmtree(CACHE)
    rot(of_a_script / "x.safetensors")
    result = repair("heads")
    assert (result.exit_code, planned(result)) == (0, [[str(of_a_script), "damaged", "train"]])
    assert repair(CACHE / "masks").stderr == (
        "error: cache/masks must be a store or hold some, got none\n"
    )


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
    lost = (
        "nothing makes it under params.yaml: remove it, or put its split, model or view back and "
        "run `usam cache repair`"
    )
    assert sorted(planned(result)) == [
        [str(store), "damaged", lost] for store in (masks_path(*unused), objects_path(TRAIN_SPLIT))
    ]
    shutil.rmtree(objects_path(TRAIN_SPLIT))
    Path("params.yaml").write_text(whole)
    assert repair().exit_code == 0
    assert outputs() == wanted


def test_a_cell_that_cannot_be_computed_here_comes_back_from_the_remote(tmp_path: Path) -> None:
    commit_outputs(extract=extract_stage(*CELL))
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
