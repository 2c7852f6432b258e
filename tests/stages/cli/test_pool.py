"""``usam cache clean`` and the pool: what goes, what stays, and what comes back."""

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from typer.testing import CliRunner

from stages import extract
from stages.cli.app import app
from stages.cli.columns import bytes_text
from storage.paths import POOL, features_path, masks_path
from tests.fixtures.extract_project import (
    CELL,
    encoded_images,
    files_of,
    flip,
    outputs,
    pool_of,
    run,
    write_params,
)
from tests.fixtures.fill_command import fill

N_SHARDS = 3


@pytest.fixture(autouse=True)
def project(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose cell is extracted, as the working directory."""
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def usam(*command: str, typed: str = "", status: int = 0) -> list[str]:
    """Lines that a command of ``usam cache`` prints."""
    result = CliRunner().invoke(app, ["cache", *command], input=typed)
    assert result.exit_code == status, result.stderr
    return result.stdout.splitlines()


@pytest.mark.no_cover
def test_nothing_is_cleaned_that_a_cell_uses() -> None:
    before = files_of(POOL)
    for device in ("cpu", "auto"):
        write_params(device=device)
        assert usam("clean") == [f"every shard in {POOL} is used"]
        assert files_of(POOL) == before


@pytest.mark.no_cover
def test_shards_of_former_settings_are_listed_and_go_if_the_user_agrees() -> None:
    run(extract, *CELL)  # whose masks are links then: their bytes stay
    former = pool_of().folder
    n_bytes = sum(path.stat().st_size for path in former.rglob("*.npz"))
    write_params(precision="bf16")
    fill("/".join(CELL), "--shard-range", "1/2")
    present = files_of(pool_of().folder)
    size = f"{N_SHARDS} shards, {bytes_text(n_bytes)}"
    reason = "that no cell of params.yaml uses"
    line = f"mini tiny identity fp32 cpu in {former}: {N_SHARDS} shards {reason}"
    question = f"Remove {size}? [y/N]: "
    for typed in ("n", ""):
        assert usam("clean", typed=typed, status=1)[:2] == [line, question + typed]
        assert former.exists()
    assert usam("clean", typed="y") == [line, f"{question}y", f"removed {size}"]
    assert not former.exists()
    assert files_of(pool_of().folder) == present
    write_params()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert not encoded, "the published stores serve as pool"


@pytest.mark.no_cover
@pytest.mark.parametrize("is_removed", [False, True])
def test_a_pool_that_was_removed_comes_back_from_published_stores(*, is_removed: bool) -> None:
    run(extract, *CELL)
    stores = [features_path(*CELL), masks_path(*CELL)]
    stage = {"cmd": "exit 1", "outs": [store.as_posix() for store in stores]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"extract": stage}}))
    with Repo.init(no_scm=True) as repo:
        repo.commit(force=True)
    pool, published = files_of(POOL), outputs()
    shutil.rmtree(POOL)
    for store in stores if is_removed else ():
        shutil.rmtree(store)  # as DVC does before it runs a stage again
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert not encoded
    assert files_of(POOL).keys() == pool.keys()
    assert outputs() == published


@pytest.mark.no_cover
def test_outputs_are_sent_to_a_remote_by_name() -> None:
    run(extract, *CELL)
    stage = {"cmd": "exit 1", "outs": [features_path(*CELL).as_posix()]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"extract": stage}}))
    with Repo.init(no_scm=True) as repo:
        repo.commit(force=True)
    lab, n_files = Path("lab").absolute(), sum(map(Path.is_file, Path(".dvc/cache").rglob("*")))
    with Repo() as repo, repo.config.edit() as config:
        config["remote"]["lab"] = {"url": str(lab)}
    assert usam("push", "--remote", "lab") == [
        f"{lab} has {n_files} files of dvc.lock; {n_files} were sent"
    ]


@pytest.mark.no_cover
def test_damaged_shards_of_a_published_store_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    run(extract, *CELL)
    shutil.rmtree(POOL)
    flip(features_path(*CELL) / "iou/c.0.0.0")
    run(extract, *CELL)
    noted = capsys.readouterr().err
    for shard in range(N_SHARDS):  # each has rows in the chunk
        assert f"note: shard {shard} of {'/'.join(CELL)} is extracted again: " in noted
