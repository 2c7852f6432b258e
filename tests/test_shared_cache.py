"""A cache shared by two users, as docs/share.md sets it up: each works in it, neither harms it."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from storage.store.checks import damaged_files
from tests.fixtures.doc_pages import block
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.made_up_cell import extract

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("setpriv") is None,
        reason="only root, with util-linux, can be two users",
    ),
]

GROUP = 61000
STORE = "cache/features/identity.zarr"

# The interpreter may lie where others cannot read, such as in root's home: these users read, but
# neither write nor own, what root does.
CAPABILITIES = "-all,+dac_read_search"

HARM = """
import os, sys
from pathlib import Path
mine = Path("mine"); mine.write_text("x")
def refused(harm):
    try: harm()
    except PermissionError: return
    raise SystemExit(f"{path} could be harmed")
n = 0
for path in Path(sys.argv[1]).rglob("*"):
    if path.is_file() and path.stat().st_uid != os.getuid():
        n += 1
        refused(lambda: path.open("r+b"))
        refused(lambda: path.chmod(0o666))
        refused(path.unlink)
        refused(lambda: mine.rename(path))
assert n, "nothing of others"
"""


@dataclass(frozen=True)
class User:
    """Somebody with a folder of their own."""

    uid: int
    home: Path
    umask: str = "022"

    def run(self, command: str, *, is_refused: bool = False) -> str:
        """Run a command of a shell there."""
        privileges = [f"--{kind}-caps={CAPABILITIES}" for kind in ("inh", "ambient")]
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={GROUP}", "--clear-groups"]
        names = {
            f"GIT_{role}_{key}" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
        }
        environment = {
            **dict.fromkeys(names, f"{self.home.name}@example.org"),
            "HOME": str(self.home),
            "LOGNAME": self.home.name,  # the system knows no such user
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "DVC_SITE_CACHE_DIR": str(self.home / "site"),
        }
        done = subprocess.run(
            [*user, *privileges, "bash", "-ec", f"umask {self.umask}; {command}"],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == is_refused, said
        return said


@dataclass(frozen=True)
class Lab:
    """Two users and their cache."""

    ann: User
    bob: User
    cache: Path

    def recipe(self, start: str) -> str:
        """A block of the page, for this cache and this group."""
        text = block(start).replace("-g lab", f"-g {GROUP}")
        return text.replace("/lab/usam", str(self.cache))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter: those of pytest are for their owner alone."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def lab(open_folder: Path, tmp_path: Path) -> Lab:
    """Ann has a cell, DVC adds it to the shared cache; Bob has a clone, and another umask."""
    ann = User(GROUP + 1, open_folder / "ann", "002")
    bob = User(GROUP + 2, open_folder / "bob", "022")
    lab = Lab(ann, bob, open_folder / "usam")
    for user in (ann, bob):
        user.home.mkdir()
        os.chown(user.home, user.uid, GROUP)
        # Git refuses repositories of others unless told otherwise.
        (user.home / ".gitconfig").write_text("[safe]\n    directory = *\n")
    subprocess.run(["bash", "-ec", lab.recipe("install -d")], check=True)
    extract(tmp_path / "made")
    stages = {
        "extract": {"cmd": "exit 1", "params": ["seed"], "outs": [STORE]},
        "look": {
            "cmd": f"sha256sum {STORE}/zarr.json > look.txt",
            "deps": [STORE],
            "outs": ["look.txt"],
        },
    }
    project = lab.ann.home / "project"
    (project / STORE).parent.mkdir(parents=True)
    shutil.copytree(tmp_path / "made/features/identity.zarr", project / STORE)
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (project / "params.yaml").write_text("seed: 0\n")
    subprocess.run(["chown", "-R", f"{lab.ann.uid}:{GROUP}", str(project)], check=True)
    config = "dvc config core.analytics false; dvc config cache.type hardlink,symlink"
    setup = lab.recipe("dvc cache dir")
    lab.ann.run(
        f"cd project; git init -qb main; dvc init -q; {config}; {setup}"
        "dvc commit -f extract; git add -A; git commit -qm Cell"
    )
    lab.bob.run(f"git clone -q {project} project; cd project; {setup}")
    return lab


def test_each_takes_runs_and_adds_and_neither_can_harm(lab: Lab) -> None:
    # Bob takes what Ann has, without a download, and adds to it.
    lab.bob.run("cd project; dvc checkout extract; dvc repro; git add -A; git commit -qm Look")
    assert damaged_files(lab.bob.home / "project" / STORE) == {}
    # Ann takes that, and adds a folder.
    lab.ann.run(
        f"cd project; git pull -q {lab.bob.home}/project main; dvc checkout; dvc repro;"
        "mkdir more; echo more > more/more; dvc add more"
    )
    look = lab.ann.home / "project/look.txt"
    assert look.resolve().stat().st_uid == lab.bob.uid
    for user in (lab.ann, lab.bob):
        # Not even one's own, unless one makes it writable first.
        user.run(f"echo harm >> project/{STORE}/zarr.json", is_refused=True)
        (user.home / "harm.py").write_text(HARM)
        user.run(f"python harm.py {lab.cache}/files")
    # A collection that knows nothing of Ann's last folder cannot remove it.
    lab.bob.run("cd project; dvc gc --workspace --force", is_refused=True)
    files = [path for path in (lab.cache / "files").rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in files} == {lab.ann.uid, lab.bob.uid}
    for path in files:
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        assert found == path.parent.name + path.name.removesuffix(".dir")
    lab.ann.run("cd project; dvc checkout; dvc status")


def test_users_of_one_clone_replace_the_files_of_others_under_umask_002(open_folder: Path) -> None:
    clone = open_folder / "clone"
    clone.mkdir()
    os.chown(clone, 0, GROUP)
    clone.chmod(0o2775)
    ann, bob = (User(GROUP + i, clone, "002") for i in (1, 2))
    write = (
        f"PYTHONPATH={ROOT} python -c 'from storage.folders import *;"
        'write_text(Path("cache/work/a.txt"), os.environ["WHO"])\''
    )
    ann.run(f"WHO=ann {write}")
    bob.run(f"WHO=bob {write}")
    assert (clone / "cache/work/a.txt").read_text() == "bob"
