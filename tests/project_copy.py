"""Copies of the project, small in its data, in which DVC runs the real stages."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from pipeline.vocabulary import MODELS
from tests.dvc_stages import ROOT

REMOTE_CONFIG: Final = """\
[core]
    remote = shared
['remote "shared"']
    url = {}
"""

TIMEOUT_S: Final = 540.0


@dataclass(frozen=True)
class Reproduced:
    """What ``dvc repro`` did to the stages, in order."""

    ran: list[str]
    restored: list[str]
    """Taken from the run cache."""
    unchanged: list[str]


def copy_files(root: Path) -> None:
    """Copy what git would commit of this project, ``dvc.lock`` apart."""
    listed = _output(ROOT, "git", "ls-files", "-z", "-co", "--exclude-standard")
    for name in listed.split("\0"):
        if name and name != "dvc.lock" and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


def copy_project(root: Path, *, remote: Path) -> None:
    """Commit a copy of this project, its settings made small, to a new repository."""
    copy_files(root)
    set_remote(root, remote)
    shrink_params(root)
    run(root, "git", "init", "--quiet")
    commit(root)


def clone_project(origin: Path, root: Path, *, remote: Path) -> None:
    """Clone as a colleague does, who shares nothing but the remote."""
    run(origin, "git", "clone", "--quiet", "--no-hardlinks", str(origin), str(root))
    set_remote(root, remote)


def set_remote(root: Path, remote: Path) -> None:
    """Set the folder that ``dvc push`` and ``dvc pull`` use, for this copy alone."""
    (root / ".dvc" / "config.local").write_text(REMOTE_CONFIG.format(remote), "utf-8")


def shrink_params(root: Path) -> None:
    """Leave every kind of stage in place, and little work for each."""
    params = read_params(root)
    params |= {
        "models": list(MODELS),
        "views": ["identity", "vflip"],
        "eval_splits": ["shapes_val"],
        "train_splits": ["shapes_train"],
    }
    params["splits"]["shapes_val"]["max_objects"] = 12
    params["splits"]["shapes_train"]["max_objects"] = 24
    params["shapes"] |= {"image_size_px": 128, "n_train_images": 8, "n_val_images": 4}
    params["extract"] |= {"family": "mini", "weights": "random"}
    params["extract"] |= {"shard_objects": 8, "device": "cpu"}
    params["runtime"] |= {"n_repeats": 1}
    params["tune"] |= {"n_trials": 0, "epochs": 2, "batch_size": 16}
    write_params(root, params)


def read_params(root: Path) -> dict[str, Any]:
    """Settings of a copy."""
    params: dict[str, Any] = yaml.safe_load((root / "params.yaml").read_text("utf-8"))
    return params


def write_params(root: Path, params: dict[str, Any]) -> None:
    """Replace the settings of a copy."""
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), "utf-8")


def commit(root: Path) -> None:
    """Commit all that git does not ignore."""
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "Change")


def changed_files(root: Path) -> list[str]:
    """Files that differ from the last commit."""
    return [line[3:] for line in run(root, "git", "status", "--porcelain").splitlines()]


def repro(root: Path, *options: str) -> Reproduced:
    """Run ``dvc repro`` and read what it says of each stage."""
    said = run(root, "dvc", "repro", *options)
    return Reproduced(
        ran=re.findall(r"^Running stage '(.+)':$", said, re.MULTILINE),
        restored=re.findall(r"^Stage '(.+)' is cached - skipping run", said, re.MULTILINE),
        unchanged=re.findall(r"^Stage '(.+)' didn't change, skipping$", said, re.MULTILINE),
    )


def run(root: Path, *command: str) -> str:
    """Output of a command that ends with status 0.

    Raises
    ------
    AssertionError
        With all that the command said, if its status is another.
    """
    done = subprocess.run(
        command,
        cwd=root,
        env=_environment(root),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{said}"
    return said


def _output(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def _environment(root: Path) -> dict[str, str]:
    """Nothing of the user's settings, of the test run or of another checkout but the interpreter.

    Python puts the working folder before the place of the editable installation.
    """
    foreign = ("PYTHON", "DVC_", "GIT_", "COV", "PYTEST")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    settings = root.parent / "settings"
    people = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {"NAME": "Test", "EMAIL": "test@example.org"}.items()
    }
    return {
        **kept,
        **people,
        # Not resolved: a virtual environment is where its link to the interpreter is.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(settings / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(settings / "system"),
        "DVC_SITE_CACHE_DIR": str(settings / "site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
