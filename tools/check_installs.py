"""Installs each extra into a clean environment and tries it: ``python -m tools.check_installs``.

Reads   the working tree, of which it builds the sdist and, from the sdist, the wheel.
Writes  ``build/installs``.

The installer is ``uv`` (``pip install uv``), since pip cannot take the lowest versions that
``pyproject.toml`` allows. It keeps what it downloads for a later run.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from itertools import chain, product
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Final, NamedTuple

FOLDER: Final = Path("build", "installs").absolute()

TRIALS: Final[Mapping[str, str]] = {
    "": """
import numpy as np
iou = np.array([0.5, 0.6])
print(usam_cache.correction_auc(iou, iou + 0.1, 1 - iou).relative)
""",
    "predict": """
import numpy as np
predictor = usam_cache.load_predictor("mini", "tiny")
predictor.set_image(np.full((64, 64, 3), 128, np.uint8))
print(predictor.predict_uncertainty(point_coords=[[9, 9]], point_labels=[1]).sam_score)
""",
    "stages": """
import os, tempfile
from pathlib import Path
import stages.entropy, stages.evaluate, stages.gallery, stages.report, stages.train, stages.tune
import stages.executor.slurm
from dvc.repo import Repo
from stages.executor.executors import executor_of
from stages.executor.tasks import Task, results_of
from stages.settings.blocks import ExecutorParams
from stages.training.search import run_study
os.chdir(tempfile.mkdtemp())
Repo.init(no_scm=True)
options = {"n_trials": 12, "seed": 0, "advance": print}
run_study(lambda plan: plan.learning_rate, Path("study"), **options)
with executor_of(ExecutorParams(kind="local", n_workers=1)) as run:
    print(results_of(run, [Task("a number", abs, (-1,))]))
""",
    "dashboard": "from stages.executor.local import web_options; web_options(dashboard=True)",
    "hf": 'print(usam_cache.build_sam("edgetam", "tiny", seed=0))',
    "demo": """
from typer.testing import CliRunner
import uvicorn
from stages.cli.app import app
uvicorn.Server.run = lambda server, sockets: server.config.load()
served = CliRunner().invoke(app, ["demo", "--port", "0"], catch_exceptions=False)
assert served.exit_code == 0, served.output
""",
    "cvat": """
from stages.annotation.cvat import create
print(create("mini", "tiny"))
""",
    "dvc": """
import tempfile
import dvc.api, scmrepo
from dvc.repo import Repo
Repo.init(tempfile.mkdtemp(), no_scm=True)
""",
    "s3": """
import os
import boto3, dvc_s3
from storage.files.addresses import files_at
os.environ["AWS_SKIP_SIGNATURE"] = "true"
print(files_at("s3://bucket/store"))
""",
    "ssh": """
from dvc_ssh import SSHFileSystem
print(SSHFileSystem(host="localhost", user="ann"))
""",
}
"""A program for each extra, which ends with an error where a package is missing or too old."""

RESOLUTIONS: Final = {"newest": "highest", "lowest": "lowest-direct"}

DISTRIBUTIONS: Final = ("*.whl", "*.tar.gz")

WITHOUT_WHEELS: Final = ("sam2", "smac")
"""Required packages whose newest release the index has as source alone. Others must come as wheels:
compiling an old pandas for a new Python takes all memory of the machine."""


class Environment(NamedTuple):
    """An extra under one Python."""

    extra: str
    python: str
    versions: str
    """Key of ``RESOLUTIONS``."""

    def __str__(self) -> str:
        return f"{self.extra or 'base'}-{self.python}-{self.versions}"


def build(folder: Path) -> None:
    """Build ``dist`` of a folder: the sdist of the tracked files, and the wheel of the sdist.

    Also build ``wheels``: of ``WITHOUT_WHEELS``, once for all environments, with the setuptools of
    this one. An isolated build of sam2 would install PyTorch first, for each environment.
    """
    rmtree(folder, ignore_errors=True)
    source = folder / "source"
    for name in subprocess.check_output(["git", "ls-files", "-z"], text=True).split("\0")[:-1]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(name, source / name)
    _uv("build", "--quiet", "--out-dir", str(folder / "dist"), str(source))
    options = (
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder / "wheels"),
    )
    lines = [line for line in _required(source / "pyproject.toml") if _name(line) in WITHOUT_WHEELS]
    _run(sys.executable, "-m", "pip", "wheel", *options, *lines)


def _required(project: Path) -> list[str]:
    """Lines of the packages that a project requires, with all of its extras."""
    declared = tomllib.loads(project.read_text("utf-8"))["project"]
    return [*declared["dependencies"], *chain(*declared["optional-dependencies"].values())]


def _name(line: str) -> str:
    return re.split(r"[^\w.-]", line, maxsplit=1)[0]


def requirements(environment: Environment, project: Path) -> list[str]:
    """Options of ``uv`` that choose the versions of the packages of an environment."""
    names = {_name(line) for line in _required(project)}
    compiled = sorted(names - {"usam-cache", *WITHOUT_WHEELS})
    return [
        *("--resolution", RESOLUTIONS[environment.versions]),
        *(("--extra", environment.extra) if environment.extra else ()),
        *(option for name in compiled for option in ("--only-binary", name)),
    ]


def try_environment(environment: Environment, built: Path) -> str:
    """Try the wheel, then the sdist, in a new environment, which is removed at the end.

    The result is the last line of the error, empty if both work. The packages that both require are
    installed once, since PyTorch takes most of the time.
    """
    folder = FOLDER / str(environment)
    rmtree(folder, ignore_errors=True)
    project = built / "source" / "pyproject.toml"
    install = ("pip", "install", "--quiet", "--python", str(folder))
    try:
        _uv("venv", "--quiet", "--python", environment.python, str(folder))
        # Only the requirements of this file count as direct: those of an archive would not.
        links = ("--find-links", str(built / "wheels"))
        _uv(*install, *links, *requirements(environment, project), "-r", str(project))
        for pattern in DISTRIBUTIONS:
            (archive,) = (built / "dist").glob(pattern)
            _uv(*install, "--no-deps", "--reinstall", str(archive))
            program = f"import usam_cache\n{TRIALS[environment.extra]}"
            _run(str(folder / "bin" / "python"), "-I", "-c", program)
    except subprocess.CalledProcessError as error:
        return str((error.stderr.strip() or "no message").splitlines()[-1])
    finally:
        rmtree(folder, ignore_errors=True)
    return ""


def main() -> None:
    """Try all combinations of the options, and print each; end with 1 if one failed."""
    options = _parse()
    FOLDER.mkdir(parents=True, exist_ok=True)
    build(FOLDER / "built")
    n_failed = 0
    for environment in map(
        Environment._make, product(options.extras, options.pythons, RESOLUTIONS)
    ):
        error = try_environment(environment, FOLDER / "built")
        print(f"{environment}: {error or 'works'}", flush=True)
        n_failed += bool(error)
    sys.exit(n_failed > 0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", nargs="*", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--pythons", nargs="*", default=["3.11", "3.12", "3.13", "3.14"])
    return parser.parse_args()


def _uv(*arguments: str) -> str:
    return _run(sys.executable, "-m", "uv", *arguments)


def _run(*command: str) -> str:
    # Without kernels of its own for a GPU, sam2 has nothing to compile.
    environment = os.environ | {"SAM2_BUILD_CUDA": "0"}
    done = subprocess.run(
        command, cwd=FOLDER.parent, env=environment, capture_output=True, text=True, check=True
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


if __name__ == "__main__":
    main()
