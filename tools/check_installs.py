"""Installs each extra into a clean environment and tries it: ``python -m tools.check_installs``.

Reads   the working tree, of which it builds the sdist and, from the sdist, the wheel.
Writes  ``build/installs/outcomes.csv``, a row when an installation ends; with ``--write``, also the
        part of ``docs/api.md`` between ``<!-- installs -->`` and ``<!-- /installs -->``.

The installer is ``uv`` (``pip install uv``), since pip cannot take the lowest versions that
``pyproject.toml`` allows. With ``--resolve-only``, versions are chosen and nothing is installed: an
installation with PyTorch takes gigabytes. With ``--resume``, installations that worked in an
earlier run keep their rows and are not tried again.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, product, repeat
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Final, NamedTuple

from tools.blocks import replace_block, table

FOLDER: Final = Path("build", "installs").absolute()

PAGE: Final = Path("docs", "api.md")

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
from stages.executor.executors import map_by
from stages.settings.blocks import ExecutorParams
from stages.training.search import run_study
os.chdir(tempfile.mkdtemp())
Repo.init(no_scm=True)
options = {"n_trials": 12, "seed": 0, "advance": print, "facade": "full"}
run_study(lambda plan: plan.learning_rate, Path("study"), **options)
with map_by(ExecutorParams(kind="local", n_workers=1), "number") as each:
    print(each(abs, [-1]))
""",
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

DISTRIBUTIONS: Final = {"wheel": "*.whl", "sdist": "*.tar.gz"}

WITHOUT_WHEELS: Final = ("sam2", "smac")
"""Required packages whose newest release the index has as source alone. Others must come as wheels:
compiling an old pandas for a new Python takes all memory of the machine."""


class Installation(NamedTuple):
    """An extra in an environment."""

    extra: str
    python: str
    versions: str
    """Key of ``RESOLUTIONS``."""
    distribution: str
    """Key of ``DISTRIBUTIONS``."""

    def __str__(self) -> str:
        return f"{self.extra or 'base'}-{self.python}-{self.versions}-{self.distribution}"


@dataclass(frozen=True)
class Outcome:
    """The packages of an installation, or the error that it ended with."""

    packages: int = 0
    megabytes: int = 0
    """0 if versions were chosen and nothing was installed."""
    seconds: int = 0
    error: str = ""

    def __str__(self) -> str:
        """The outcome in a few words."""
        if self.error:
            return f"**failed**: {self.error}"
        if not self.megabytes:
            return f"{self.packages} packages, not installed"
        return f"{self.packages} packages, {self.megabytes} MB, {self.seconds} s"


Outcomes = dict[Installation, Outcome]


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


def requirements(installation: Installation, project: Path) -> list[str]:
    """Options of ``uv`` that choose the versions of the packages of an installation."""
    names = {_name(line) for line in _required(project)}
    compiled = sorted(names - {"usam-cache", *WITHOUT_WHEELS})
    return [
        *("--resolution", RESOLUTIONS[installation.versions]),
        *(("--extra", installation.extra) if installation.extra else ()),
        *(option for name in compiled for option in ("--only-binary", name)),
    ]


def resolve(installation: Installation, project: Path) -> Outcome:
    """Choose the versions of an installation; its Python need not be on this machine."""
    options = ("--quiet", "--no-header", "--no-annotate", "--python-version", installation.python)
    try:
        chosen = _uv("pip", "compile", *options, *requirements(installation, project), str(project))
    except subprocess.CalledProcessError as error:
        return Outcome(error=_last_line(error))
    return Outcome(packages=len(chosen.splitlines()))


def try_environment(installations: Sequence[Installation], built: Path) -> Iterator[Outcome]:
    """Try distributions of one extra, Python and choice of versions, each alone in an environment.

    The environment is new, and is removed at the end. The packages that the distributions require
    are installed once, since PyTorch takes most of the time.
    """
    if not installations:
        return
    first = installations[0]
    folder = FOLDER / f"{first.extra or 'base'}-{first.python}-{first.versions}"
    rmtree(folder, ignore_errors=True)
    project = built / "source" / "pyproject.toml"
    install = ("pip", "install", "--quiet", "--python", str(folder))
    started = time.monotonic()
    try:
        # Only the requirements of this file count as direct: those of an archive would not.
        error = _error_of("venv", "--quiet", "--python", first.python, str(folder)) or _error_of(
            *(*install, "--find-links", str(built / "wheels")),
            *requirements(first, project),
            *("-r", str(project)),
        )
        seconds = round(time.monotonic() - started)
        for installation in installations:
            (archive,) = (built / "dist").glob(DISTRIBUTIONS[installation.distribution])
            error_here = error or _error_of(*install, "--no-deps", "--reinstall", str(archive))
            outcome = Outcome(error=error_here) if error_here else _run_trial(first.extra, folder)
            yield replace(outcome, seconds=seconds)
    finally:
        rmtree(folder, ignore_errors=True)


def _run_trial(extra: str, folder: Path) -> Outcome:
    """Run the program of an extra in the environment that ``folder`` has."""
    program = f"import usam_cache\n{TRIALS[extra]}"
    try:
        _run(str(folder / "bin" / "python"), "-I", "-c", program)
    except subprocess.CalledProcessError as error:
        return Outcome(error=_last_line(error))
    listed = _uv("pip", "list", "--quiet", "--python", str(folder)).splitlines()
    return Outcome(len(listed) - 2, int(_run("du", "-sm", str(folder)).split()[0]))


def read_outcomes(record: Path) -> Outcomes:
    """The last outcome of each installation in a file that ``append_outcome`` wrote, if any."""
    if not record.exists():
        return {}
    with record.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {
        Installation(*(row[key] for key in Installation._fields)): Outcome(
            packages=int(row["packages"]),
            megabytes=int(row["megabytes"]),
            seconds=int(row["seconds"]),
            error=row["error"],
        )
        for row in rows
    }


def append_outcome(record: Path, installation: Installation, outcome: Outcome) -> None:
    """Append a row to a file, which the first row begins with a header."""
    row = installation._asdict() | asdict(outcome)
    with record.open("a", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, row)
        if not lines.tell():
            writer.writeheader()
        writer.writerow(row)


def _error_of(*arguments: str) -> str:
    """Run ``uv``; return the last line of its error, or nothing if it succeeds."""
    try:
        _uv(*arguments)
    except subprocess.CalledProcessError as error:
        return _last_line(error)
    return ""


def _last_line(error: subprocess.CalledProcessError) -> str:
    return str((error.stderr.strip() or "no message").splitlines()[-1])


def main() -> None:
    """Try all combinations of the options, print each and a table; end with 1 if one failed."""
    options = _parse()
    record = FOLDER / "outcomes.csv"
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        record.unlink(missing_ok=True)
    outcomes = read_outcomes(record)
    if not options.resolve_only:
        build(FOLDER / "built")
    for group in _environments(options):
        tried: Iterator[Outcome]
        todo = [i for i in group if not _is_done(outcomes.get(i), options)]
        if todo and options.resolve_only:
            tried = repeat(resolve(todo[0], Path("pyproject.toml").absolute()), len(todo))
        else:
            tried = try_environment(todo, FOLDER / "built")
        for installation, outcome in zip(todo, tried, strict=True):
            append_outcome(record, installation, outcome)
            outcomes[installation] = outcome
            print(f"{installation}: {outcome}", flush=True)
    block = summary(outcomes)
    print(block)
    if options.write:
        replace_block(PAGE, "installs", f"\n{block}\n")
    sys.exit(any(outcome.error for outcome in outcomes.values()))


def _is_done(outcome: Outcome | None, options: argparse.Namespace) -> bool:
    if outcome is None or outcome.error:
        return False
    return bool(outcome.megabytes) or options.resolve_only


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", nargs="*", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--pythons", nargs="*", default=["3.11", "3.12", "3.13", "3.14"])
    parser.add_argument("--versions", nargs="*", choices=RESOLUTIONS, default=list(RESOLUTIONS))
    parser.add_argument(
        "--distributions", nargs="*", choices=DISTRIBUTIONS, default=list(DISTRIBUTIONS)
    )
    parser.add_argument("--resolve-only", action="store_true", help="Install nothing.")
    parser.add_argument("--resume", action="store_true", help="Keep the rows of what worked.")
    parser.add_argument("--write", action="store_true", help="Write the table into docs/api.md.")
    return parser.parse_args()


def _environments(options: argparse.Namespace) -> Iterator[list[Installation]]:
    """The installations of each environment."""
    for row in product(options.extras, options.pythons, options.versions):
        yield [Installation(*row, distribution) for distribution in options.distributions]


def summary(outcomes: Outcomes) -> str:
    """How many installations work, and a table of their packages and sizes."""
    pythons = sorted({i.python for i in outcomes}, key=lambda p: [*map(int, p.split("."))])
    rows = [
        [f"`{extra}`" if extra else "none", *(_cell(outcomes, extra, p) for p in pythons)]
        for extra in TRIALS
    ]
    installed = [outcome for outcome in outcomes.values() if outcome.megabytes or outcome.error]
    working = sum(not outcome.error for outcome in installed)
    resolved = len(outcomes) - len(installed)
    sentence = f"{working} of {len(installed)} installations that were tried work"
    if resolved:
        sentence += f"; versions were chosen for {resolved} more, *in italics*"
    return f"{sentence}.\n\n{table(['extra', *pythons], rows)}"


def _cell(outcomes: Outcomes, extra: str, python: str) -> str:
    """Packages and largest size, newest / lowest; distributions are named where they differ."""
    sides = []
    for versions in RESOLUTIONS:
        tried = {d: outcomes.get(Installation(extra, python, versions, d)) for d in DISTRIBUTIONS}
        megabytes = max((outcome.megabytes for outcome in tried.values() if outcome), default=0)
        words = {d: _words(outcome, megabytes) for d, outcome in tried.items()}
        is_same = len({*words.values()}) == 1
        sides.append(words["wheel"] if is_same else ", ".join(f"{d} {w}" for d, w in words.items()))
    return sides[0] if {*sides} == {"not tried"} else " / ".join(sides)


def _words(outcome: Outcome | None, megabytes: int) -> str:
    if outcome is None:
        return "not tried"
    if outcome.error:
        return "**failed**"
    return f"{outcome.packages}, {megabytes} MB" if outcome.megabytes else f"*{outcome.packages}*"


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
