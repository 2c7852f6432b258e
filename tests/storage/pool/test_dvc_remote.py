"""A remote has every file of ``dvc.lock`` after a push, whatever happened to the pushes before."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import boto3
import pytest
from dvc.cli import main
from dvc_data.hashfile.db import HashFileDB

from storage.errors import StoreError
from storage.pool.dvc_cache import REPAIRED, cached_file, md5_of, mend_cache
from storage.pool.dvc_remote import push
from tests.fixtures import interrupted_push
from tests.fixtures.bucket import BUCKET, s3_server, use_server
from tests.fixtures.interrupted_push import (
    files_of,
    make_repository,
    pull,
    push_by_dvc,
    run,
    set_remote,
)

N_FILES = 2 * interrupted_push.N_FILES + 2
"""Files of the remote: those of both output folders, and a listing of each."""

TRIALS = (
    pytest.param(range(0, N_FILES, 9), marks=pytest.mark.slow, id="some"),
    pytest.param(range(N_FILES), marks=pytest.mark.full_size, id="all"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository without a remote, not to be changed."""
    root = tmp_path_factory.mktemp("made") / "ann"
    make_repository(root)
    return root


@pytest.fixture
def repository(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it with a folder as its remote, in which the test runs."""
    root = Path(shutil.copytree(made, tmp_path / "ann", symlinks=True))
    set_remote(root, str(tmp_path / "lab"))
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


def sent(remote: str | None = None) -> tuple[int, int, int]:
    """Files of the remote after a push, files that were sent, and repaired files among these."""
    (pushed,) = push(remote, lambda _: nullcontext(lambda _: None))
    return pushed.n_files, pushed.n_sent, pushed.n_repaired


def clone_of(root: Path) -> Path:
    """The repository as a colleague has it, without a file of any output."""
    clone = root.with_name("clone")
    shutil.rmtree(clone, ignore_errors=True)
    ignore = shutil.ignore_patterns("cache", "tmp", *interrupted_push.OUTPUTS)
    return Path(shutil.copytree(root, clone, ignore=ignore))


def check_interrupted_pushes(root: Path, url: str, trials: Sequence[int], **options: str) -> None:
    """Interrupt pushes of DVC as it lists and sends files; a push of ours must send the rest."""
    lacking = []
    for trial in trials:
        set_remote(root, f"{url}/{trial}", **options)
        run(push_by_dvc, root, collecting=1 + trial)
        run(push_by_dvc, root, sending=1 + trial // 2)
        assert run(push_by_dvc, root) == 0
        lacking.append(sent()[1])
        clone = clone_of(root)
        assert run(pull, clone) == 0
        assert files_of(clone) == files_of(root)
        assert sent() == (N_FILES, 0, 0)
    assert max(lacking) > 0, "DVC, too, sends what lacks: there is no need of our own push"


@pytest.mark.parametrize("trials", [pytest.param([4], id="one"), *TRIALS])
def test_after_interrupted_pushes_to_a_folder_a_push_completes_it(
    repository: Path, tmp_path: Path, trials: Sequence[int]
) -> None:
    check_interrupted_pushes(repository, str(tmp_path / "lab"), trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_after_interrupted_pushes_to_a_bucket_a_push_completes_it(
    repository: Path, server: str, monkeypatch: pytest.MonkeyPatch, trials: Sequence[int]
) -> None:
    use_server(server, monkeypatch)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    check_interrupted_pushes(repository, f"s3://{BUCKET}", trials, endpointurl=server)


@pytest.mark.usefixtures("repository")
def test_files_that_a_remote_lost_are_sent_again_though_dvc_says_all_is_there(
    tmp_path: Path,
) -> None:
    assert sent() == (N_FILES, N_FILES, 0)
    for path in list((tmp_path / "lab").rglob("*"))[-3:]:
        if path.is_file() and path.suffix != ".dir":
            path.unlink()
    assert run(push_by_dvc, Path()) == 0
    n_files, n_sent, _ = sent()
    assert n_files == N_FILES
    assert n_sent > 0
    assert sent() == (N_FILES, 0, 0)


@pytest.mark.usefixtures("repository")
def test_a_listing_is_sent_when_the_remote_has_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.pool.dvc_remote.N_TOGETHER", 5)
    add, n_there = HashFileDB.add, list[int]()

    def noted(remote: HashFileDB, paths: list[str], fs: Any, md5s: list[str], **how: Any) -> None:  # noqa: ANN401
        if any(md5.endswith(".dir") for md5 in md5s):
            assert all(md5.endswith(".dir") for md5 in md5s), "a call sends files in any order"
            n_there.append(sum(path.is_file() for path in (tmp_path / "lab").rglob("*")))
        add(remote, paths, fs, md5s, **how)

    monkeypatch.setattr(HashFileDB, "add", noted)
    assert sent() == (N_FILES, N_FILES, 0)
    assert n_there == [N_FILES - 2]


def test_repaired_files_are_sent_anew_to_each_remote_once(repository: Path, tmp_path: Path) -> None:
    intact = Path("features/0").read_bytes()
    cached = cached_file(md5_of(Path("features/0")))
    damage(cached)
    remotes = [tmp_path / name for name in ("lab", "other")]
    for remote in remotes:
        shutil.copytree(".dvc/cache/files", remote / "files")
    Path("features/0").unlink()
    Path("features/0").write_bytes(intact)
    mend_cache(Path("features"))
    assert cached.read_bytes() == intact
    assert REPAIRED.exists()
    for remote in remotes:
        set_remote(repository, str(remote))
        assert sent() == (N_FILES, 1, 1)
        assert (remote / cached.relative_to(".dvc/cache")).read_bytes() == intact
        assert sent() == (N_FILES, 0, 0)


def damage(file: Path) -> None:
    """Flip a bit of a file, whose links show it, too, and keep its mode."""
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    file.chmod(0o444)


@pytest.mark.usefixtures("repository")
def test_nothing_is_sent_while_a_file_is_damaged_or_missing(tmp_path: Path) -> None:
    output = Path("masks/7")
    intact, cached = output.read_bytes(), cached_file(md5_of(output))
    damage(cached)
    output.unlink()
    output.write_bytes(b"damaged, too")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"got 1 missing or damaged \(masks/7\)"):
            sent()
        cached.unlink(missing_ok=True)
    assert not (tmp_path / "lab").exists()
    output.write_bytes(intact)
    assert sent() == (N_FILES, N_FILES, 0), "the output mends the cache"
    assert cached.read_bytes() == intact


def test_the_command_that_an_error_about_a_missing_remote_names_sets_it(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made, tmp_path / "ann", symlinks=True)
    monkeypatch.chdir(tmp_path / "ann")
    with pytest.raises(StoreError, match="a default remote, got none") as caught:
        sent()
    command = str(caught.value).split("`")[1].replace("ADDRESS", str(tmp_path / "lab"))
    assert main(command.split()[1:]) == 0
    assert sent() == (N_FILES, N_FILES, 0)


@pytest.mark.usefixtures("repository")
def test_a_remote_that_is_not_there_is_named() -> None:
    with pytest.raises(StoreError, match=r"^remote nowhere must be readable, got: .*doesn't exist"):
        sent("nowhere")
