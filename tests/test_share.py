"""The recipes of docs/share.md, typed as they stand there, on a small cache."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import boto3
import pytest
import yaml

from storage.store import opening
from storage.store.checks import damaged_files
from tests.fixtures.bucket import BUCKET, s3_server, use_server
from tests.fixtures.doc_pages import block
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.made_up_cell import extract
from tests.fixtures.project_copy import run

SSHD: Final = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
"""None where there is none."""

PRIVILEGES = Path("/run/sshd")
"""A server that root runs asks for this empty folder, which the package's service would make."""

SSHD_START_S = 120.0

SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""

SSH_CONFIG = """\
Host {name}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user
"""


@contextmanager
def ssh_server(folder: Path, *, name: str) -> Iterator[None]:
    """Run a server that the client's ``config``, written to ``folder``, calls ``name``."""
    assert SSHD is not None
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(make, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = {"port": port, "folder": folder, "name": name, "user": getpass.getuser()}
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(**values))
    (folder / "config").write_text(SSH_CONFIG.format(**values))
    if os.getuid() == 0:
        PRIVILEGES.mkdir(mode=0o755, exist_ok=True)
    command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            _wait_for(port, folder / "log")
            yield
        finally:
            server.terminate()


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + SSHD_START_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(log.read_text())


pytestmark = pytest.mark.slow

STORES = ("cache/features/val/tiny/identity.zarr", "cache/masks/val/tiny/identity.zarr")

SHARE: Final = (ROOT / "docs/share.md").read_text("utf-8")

FOLDER = block("dvc remote add -d lab /mnt")
IN_BUCKET = block("dvc remote add -d lab s3:")
SERVER = block("dvc remote modify")
PUBLISH = block("usam cache push")
TAKE = block("dvc pull\n")
SSH = block("dvc remote add -d lab ssh:")


def shell(root: Path, commands: str) -> str:
    """Run commands as a shell does."""
    return run(root, "bash", "-ec", commands)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose only stage, a cell, is done; not to be changed."""
    root = tmp_path_factory.mktemp("done") / "ann"
    extract(root / "made")
    for kind, store in zip(("features", "masks"), STORES, strict=True):
        (root / store).parent.mkdir(parents=True)
        (root / "made" / kind / "identity.zarr").rename(root / store)
    shutil.rmtree(root / "made")
    stage = {"cmd": "exit 1", "params": ["seed"], "outs": list(STORES)}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"extract": stage}}))
    (root / "params.yaml").write_text("seed: 0\n")
    (root / ".gitignore").write_text("/cache\n")
    shell(
        root,
        "git init -q -b main; dvc init -q; dvc commit -f extract; git add -A; git commit -qm A",
    )
    return root


@pytest.fixture
def repository(done: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(done, tmp_path / "ann", symlinks=True))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


def taken(root: Path, clone: Path) -> str:
    """Clone, take everything, and say what DVC ran."""
    shell(root.parent, f"git clone -q {root} {clone}")
    said = shell(clone, TAKE)
    for store in STORES:
        assert damaged_files(clone / store) == {}
    return said


def test_a_folder_is_pushed_to_and_pulled_from(repository: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    shell(repository, FOLDER.replace("/mnt/lab/usam", str(lab)) + PUBLISH)
    assert "didn't change, skipping" in taken(repository, tmp_path / "clone")
    n_files = sum(path.is_file() for path in lab.rglob("*"))
    said = shell(repository, "usam cache push")
    assert said == f"{lab} has {n_files} files of dvc.lock; 0 were sent\n"


def test_a_bucket_is_pushed_to_pulled_from_and_read_out_of_the_repository(
    repository: Path, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_server(server, monkeypatch)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    shell(repository, IN_BUCKET + SERVER.replace("http://127.0.0.1:9000", server) + PUBLISH)
    assert "didn't change, skipping" in taken(repository, tmp_path / "clone")
    shutil.rmtree(repository / ".dvc/cache")
    shutil.rmtree(repository / "cache")
    for kind, store in zip(("features", "masks"), STORES, strict=True):
        read = getattr(opening, f"open_{kind}")
        there, here = read(f"dvc://{repository}@main/{store}"), read(tmp_path / "clone" / store)
        assert there.load().identical(here.load())


def test_an_output_is_edited_after_the_command_that_frees_it_from_the_cache(
    repository: Path,
) -> None:
    shell(repository, "dvc config cache.type hardlink,symlink; dvc checkout --relink")
    store = repository / STORES[0]
    (unprotect,) = re.findall(r"`(dvc unprotect) results/report.html`", SHARE)
    shell(repository, f"{unprotect} {STORES[0]}; echo edited >> {STORES[0]}/zarr.json")
    assert "damaged" in shell(repository, f"usam cache verify {STORES[0]} || true")
    # DVC's cache has the bytes from before.
    shell(repository, f"dvc checkout --force {STORES[0]}")
    assert damaged_files(store) == {}


def test_where_links_fail_the_configuration_of_copies_checks_outputs_out(
    repository: Path, tmp_path: Path
) -> None:
    memory = Path("/dev/shm")  # noqa: S108 - another file system, to which no hard link leads
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second file system")
    with TemporaryDirectory(dir=memory) as folder:
        shutil.copytree(repository / ".dvc/cache", folder, dirs_exist_ok=True)
        shell(repository, f"dvc cache dir --local {folder}; dvc config cache.type hardlink")
        shutil.rmtree(repository / "cache")
        with pytest.raises(AssertionError, match="Checkout failed"):
            shell(repository, "dvc checkout")
        (copy,) = re.findall(r"`(dvc config --local cache.type copy)`", SHARE)
        shell(repository, f"{copy}; dvc checkout")
        for store in STORES:
            assert damaged_files(repository / store) == {}


@pytest.mark.skipif(SSHD is None, reason="no OpenSSH server is installed")
def test_a_machine_behind_ssh_is_pushed_to_and_pulled_from(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with ssh_server(tmp_path / ".ssh", name="lab.example.org"):
        shell(repository, SSH.replace("/data/usam", str(tmp_path / "lab")) + PUBLISH)
        assert "didn't change, skipping" in taken(repository, tmp_path / "clone")
    assert list((tmp_path / "lab").rglob("*.dir"))


def test_stores_are_described_for_a_hub(repository: Path) -> None:
    shutil.copytree(repository / "cache/features", repository / "cache/objects")
    shell(repository, block("usam cache card"))
    assert sorted(file.name for file in (repository / "hub").iterdir()) == [
        "README.md",
        "croissant.json",
    ]
