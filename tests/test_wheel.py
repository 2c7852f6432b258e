"""What an installation without a clone has: the packages with their data, and a working command."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest
from PIL import Image

from pipeline.sam.families import EMBEDDED
from tests.fixtures.dvc_stages import PACKAGES, ROOT, tracked_files
from tests.fixtures.predictors import drawn
from tests.fixtures.project_copy import copy_files

pytestmark = pytest.mark.slow

PROGRAM: Final = """
import json, sys
from typer.testing import CliRunner
import pipeline, stages, storage, usam_cache
from pipeline.sam import build
from pipeline.sam.building import fit_weights
from pipeline.sam.families import models_of
from stages.cli.app import app
from stages.extraction.models import read_weights
from storage.checkpoints.weights import verified_weights

families, commands = json.load(sys.stdin)
for family in families:
    for model in models_of(family):
        path, _ = verified_weights(family, model)
        fit_weights(build(family, model, seed=0), read_weights(path), source=str(path))
results = {command: CliRunner().invoke(app, command.split()) for command in commands}
said = {command: [r.exit_code, r.stdout] for command, r in results.items()}
packages = [package.__path__[0] for package in (pipeline, stages, storage)]
packages.append(usam_cache.__file__)
print(json.dumps({"packages": packages, "said": said}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sdist of a copy: the source tree may have files of earlier builds."""
    root = tmp_path_factory.mktemp("wheel")
    copy_files(root / "source")
    build = "from setuptools.build_meta import build_sdist; build_sdist('..')"
    run([sys.executable, "-c", build], cwd=root / "source")
    (sdist,) = root.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", str(sdist), "--no-deps", "--no-build-isolation"]
    run(pip, cwd=root / "source")
    (path,) = (root / "source").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder that an installation would put on ``sys.path``."""
    folder = wheel.parents[1] / "site-packages"
    with ZipFile(wheel) as files:
        files.extractall(folder)
    return folder


def run(
    command: list[str], *, cwd: Path, env: dict[str, str] | None = None, typed: str = ""
) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, input=typed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    with ZipFile(wheel) as files:
        names = {name for name in files.namelist() if ".dist-info/" not in name}
    assert names == {*tracked_files(*PACKAGES, "usam_cache.py")}


def test_it_is_of_the_version_that_the_changelog_begins_with(wheel: Path) -> None:
    headings = re.findall(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert wheel.name == f"usam_cache-{headings[0]}-py3-none-any.whl"


def test_its_models_load_and_its_commands_run(installed: Path, tmp_path: Path) -> None:
    photo = installed.parent / "photo.png"
    Image.fromarray(drawn()).save(photo)
    asked = f"predict {photo} --click 120,80"
    commands = ["--help", "heads info", asked]
    told = json.loads(
        run(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed)},
            typed=json.dumps([EMBEDDED, commands]),
        )
    )
    assert [Path(folder).parent for folder in told["packages"]] == [installed] * 4
    said = told["said"]
    assert said["--help"][0] == said["heads info"][0] == said[asked][0] == 0, said[asked]
    assert "\nH_A " in said[asked][1]
    assert list(tmp_path.iterdir()) == []


def test_pip_brings_a_damaged_file_back_with_the_option_that_the_message_names(
    wheel: Path, tmp_path: Path
) -> None:
    root = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(root)], cwd=tmp_path)
    python = str(root / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps"]
    check = "from storage.checkpoints.weights import verified_weights as v; v('mini', 'tiny')"
    verify = [python, "-c", check]
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}  # the requirements

    def faults() -> list[str]:
        done = subprocess.run(
            verify, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        faults = done.stderr.splitlines()[-1:]
        assert done.returncode == bool(faults), done.stdout
        return faults

    run([*pip, str(wheel)], cwd=tmp_path)
    assert faults() == []
    (weights,) = root.rglob("mini_weights/tiny.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    (fault,) = faults()
    (option,) = re.findall(r"install usam-cache again, with pip's option (\S+)$", fault)
    run([*pip, str(wheel)], cwd=tmp_path)
    assert faults() == [fault], "pip takes the installed version for a whole one"
    run([*pip, option, str(wheel)], cwd=tmp_path)
    assert faults() == []
