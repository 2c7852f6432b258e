"""Installs each extra into a clean environment and tries it: ``python -m tools.check_installs``.

Reads   the working tree, of which it builds the sdist and, from the sdist, the wheel.
Writes  ``build/installs``; prints a table at its end.

The installer is ``uv`` (``pip install uv``), since pip cannot take the lowest versions that
``pyproject.toml`` allows. With ``--resolve-only``, versions are chosen and nothing is installed: an
installation with PyTorch takes gigabytes.
"""

import argparse
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Final

from tools.blocks import table

FOLDER: Final = Path("build", "installs").absolute()

TRIALS: Final[Mapping[str, str]] = {
    "": (
        "import numpy as np;"
        "iou = np.array([0.5, 0.6]);"
        "print(usam_cache.correction_auc(iou, iou + 0.1, 1 - iou).relative)"
    ),
    "predict": (
        "import numpy as np;"
        "predictor = usam_cache.load_predictor('mini', 'tiny');"
        "predictor.set_image(np.full((64, 64, 3), 128, np.uint8));"
        "print(predictor.predict_uncertainty(point_coords=[[9, 9]], point_labels=[1]).sam_score)"
    ),
    "stages": (
        "import stages.tune, stages.train, stages.entropy, stages.evaluate, stages.gallery;"
        "import stages.report, stages.executor.executors, stages.executor.slurm"
    ),
    "hf": "print(usam_cache.build_sam('edgetam', 'tiny', seed=0))",
    "demo": "import stages.web.server",
    "cvat": "import stages.annotation.cvat",
    "dvc": "import dvc.api, scmrepo",
    "s3": "import boto3, obstore, dvc_s3",
    "ssh": "import dvc_ssh",
}
"""A program for each extra, which ends with an error where a package is missing or too old."""

RESOLUTIONS: Final = {"newest": "highest", "lowest": "lowest-direct"}

DISTRIBUTIONS: Final = {"wheel": "*.whl", "sdist": "*.tar.gz"}

WITHOUT_WHEELS: Final = ("sam2",)
"""Required packages that the index has as source alone. Others must come as wheels: compiling an
old pandas for a new Python takes all memory of the machine."""


@dataclass(frozen=True)
class Installation:
    """An extra in an environment of its own."""

    extra: str
    python: str
    versions: str
    """Key of ``RESOLUTIONS``."""
    distribution: str
    """Key of ``DISTRIBUTIONS``."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.extra or 'base'}-{self.python}-{self.versions}-{self.distribution}"


def build(folder: Path) -> None:
    """Build ``dist`` of a folder: the sdist of the tracked files, and the wheel of the sdist."""
    rmtree(folder, ignore_errors=True)
    source = folder / "source"
    for name in subprocess.check_output(["git", "ls-files", "-z"], text=True).split("\0")[:-1]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(name, source / name)
    _uv("build", "--quiet", "--out-dir", str(folder / "dist"), str(source))


def requirements(installation: Installation, project: Path) -> list[str]:
    """Options of ``uv`` that choose the versions of the packages of an installation."""
    declared = tomllib.loads(project.read_text("utf-8"))["project"]
    lists = (declared["dependencies"], *declared["optional-dependencies"].values())
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in chain(*lists)}
    compiled = sorted(names - {declared["name"], *WITHOUT_WHEELS})
    return [
        *("--resolution", RESOLUTIONS[installation.versions]),
        *(("--extra", installation.extra) if installation.extra else ()),
        *(option for name in compiled for option in ("--only-binary", name)),
    ]


def resolve(installation: Installation, project: Path) -> str:
    """Choose the versions of an installation without installing; return their number or the error.

    The Python need not be on this machine.
    """
    options = ("--quiet", "--no-header", "--no-annotate", "--python-version", installation.python)
    try:
        chosen = _uv("pip", "compile", *options, *requirements(installation, project), str(project))
    except subprocess.CalledProcessError as error:
        return _failed(error)
    return f"{len(chosen.splitlines())} packages, not installed"


def try_installation(installation: Installation, dist: Path) -> str:
    """Install, run the trial, remove the environment; return packages and size, or the error."""
    folder = FOLDER / installation.name
    rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    (archive,) = dist.glob(DISTRIBUTIONS[installation.distribution])
    project = dist.parent / "source" / "pyproject.toml"
    started = time.monotonic()
    try:
        _uv("venv", "--quiet", "--python", installation.python, str(folder))
        install = ("pip", "install", "--quiet", "--python", str(python))
        # Only the requirements of this file count as direct: those of an archive would not.
        _uv(*install, *requirements(installation, project), "-r", str(project))
        _uv(*install, "--no-deps", str(archive))
        seconds = time.monotonic() - started
        program = f"import usam_cache;{TRIALS[installation.extra]}"
        _run(str(python), "-I", "-c", program)
        listed = _uv("pip", "list", "--quiet", "--python", str(python)).splitlines()
        megabytes = int(_run("du", "-sm", str(folder)).split()[0])
    except subprocess.CalledProcessError as error:
        return _failed(error)
    finally:
        rmtree(folder, ignore_errors=True)
    return f"{len(listed) - 2} packages, {megabytes} MB, {seconds:.0f} s"


def _failed(error: subprocess.CalledProcessError) -> str:
    last = (error.stderr.strip() or "no message").splitlines()[-1]
    return f"**failed**: {last}"


def main() -> None:
    """Try all combinations of the options, print each and a table; end with 1 if one failed."""
    options = _parse()
    if not options.resolve_only:
        build(FOLDER / "built")
    outcomes = {}
    for installation in _installations(options):
        if options.resolve_only:
            outcomes[installation] = resolve(installation, Path("pyproject.toml").absolute())
        else:
            outcomes[installation] = try_installation(installation, FOLDER / "built" / "dist")
        print(f"{installation.name}: {outcomes[installation]}", flush=True)
    print(_table(outcomes))
    sys.exit(any("failed" in outcome for outcome in outcomes.values()))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", nargs="*", choices=TRIALS, default=list(TRIALS))
    parser.add_argument("--pythons", nargs="*", default=["3.11", "3.12", "3.13"])
    parser.add_argument("--versions", nargs="*", choices=RESOLUTIONS, default=list(RESOLUTIONS))
    parser.add_argument(
        "--distributions", nargs="*", choices=DISTRIBUTIONS, default=list(DISTRIBUTIONS)
    )
    parser.add_argument("--resolve-only", action="store_true", help="Install nothing.")
    return parser.parse_args()


def _installations(options: argparse.Namespace) -> Iterator[Installation]:
    for extra in options.extras:
        for python in options.pythons:
            for versions in options.versions:
                for distribution in options.distributions:
                    yield Installation(extra, python, versions, distribution)


def _table(outcomes: Mapping[Installation, str]) -> str:
    columns = {(i.python, i.versions, i.distribution): None for i in outcomes}
    extras = {i.extra: None for i in outcomes}
    rows = [
        [f"`{extra}`" if extra else "none", *(outcomes[Installation(extra, *c)] for c in columns)]
        for extra in extras
    ]
    return table(["extra", *(" ".join(column) for column in columns)], rows)


def _uv(*arguments: str) -> str:
    return _run(sys.executable, "-m", "uv", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


if __name__ == "__main__":
    main()
