"""What runs with which extras, in environments that have the packages of these and no others."""

import ast
import json
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.utils import canonicalize_name
from PIL import Image

import usam_cache
from storage.extras import EXTRAS
from tests.fixtures.dvc_stages import PACKAGES, ROOT
from tests.fixtures.environments import installed_packages, link_packages, run_python
from tests.fixtures.eval_split import write_split
from tests.fixtures.predictors import drawn

pytestmark = pytest.mark.slow

READ: Final = """
import json, sys
from importlib.util import find_spec
import usam_cache
from storage.errors import StoreError

made, unwanted, predicting = json.loads(sys.argv[1])
assert [module for module in unwanted if find_spec(module)] == []
objects = usam_cache.open_objects("cache/objects/val.zarr")
features = usam_cache.open_features("cache/features/val/tiny/identity.zarr")
entropy = usam_cache.open_entropy("cache/entropy/val.zarr")
masks = usam_cache.open_masks(f"{made}/masks/identity.zarr")
p = usam_cache.decode_masks(masks.mask_code[0, 0].values)
iou = features.iou.sel(prompt="center").values
auc = usam_cache.correction_auc(iou[:, 0], iou.max(axis=1), entropy.h_y.values)
said = {}
for name in predicting:
    try:
        getattr(usam_cache, name)
    except ImportError as error:
        said[name] = str(error)
try:
    usam_cache.open_features("dvc:///nowhere@v1/cache/features/val/tiny/identity.zarr")
except StoreError as error:
    said["dvc"] = str(error)
sizes = [objects.sizes["object"], entropy.sizes["object"], list(p.shape)]
print(json.dumps([sizes, 0 <= auc.relative <= 1, said]))
"""

PREDICT: Final = """
import json, sys
from importlib.util import find_spec
import numpy as np
from PIL import Image
from typer.testing import CliRunner
import usam_cache
from stages.cli.app import app

photo, unwanted, commands = json.loads(sys.argv[1])
assert [module for module in unwanted if find_spec(module)] == []
predictor = usam_cache.load_predictor("mini", "tiny")
predictor.set_image(Image.open(photo))
answer = predictor.predict_uncertainty(point_coords=[[120, 80]], point_labels=[1])
bits = usam_cache.mask_entropy(np.ones((2, 2), np.float32))
results = [CliRunner().invoke(app, command) for command in commands]
said = [(result.exit_code, result.output) for result in results]
print(json.dumps([[len(answer.masks), float(bits)], said]))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``pip install usam-cache`` brings."""
    return link_packages(tmp_path_factory.mktemp("base") / "packages", installed_packages())


@pytest.fixture(scope="module")
def predicting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``pip install 'usam-cache[predict]'`` brings."""
    folder = tmp_path_factory.mktemp("predict") / "packages"
    return link_packages(folder, installed_packages("predict"))


def modules_of(*extras: str) -> list[str]:
    return [module for extra in extras for module in EXTRAS[extra]]


def test_reading_needs_no_extra_and_what_needs_one_names_it(
    base: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_split("val", 6)
    asked = json.dumps([str(made), modules_of(*EXTRAS), list(usam_cache.PREDICTING)])
    done = run_python(base, "-W", "error", "-c", READ, asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sizes, is_fraction, said = json.loads(done.stdout)
    assert sizes == [6, 6, [3, 8, 8]]
    assert is_fraction
    assert said.pop("dvc") == (
        "dvc:///nowhere@v1/cache/features/val/tiny/identity.zarr must be readable, got: "
        "dvc must be installed, got none: pip install 'usam-cache[dvc]'"
    )
    assert set(said) == set(usam_cache.PREDICTING) - {"Costs", "PromptSet"}  # plain data
    for line in said.values():
        assert line.endswith(" must be installed, got none: pip install 'usam-cache[predict]'")


@pytest.mark.parametrize("arguments", [("stages.cli", "cache", "ls"), ("stages.report",)])
def test_a_program_without_its_extra_says_which_to_install(
    base: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_python(base, "-m", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == "error: PIL must be installed, got none: pip install 'usam-cache[predict]'\n"
    )


def test_predicting_and_the_commands_for_people_need_the_extra_predict_alone(
    predicting: Path, made: Path, tmp_path: Path
) -> None:
    Image.fromarray(drawn()).save(tmp_path / "photo.png")
    commands = (
        ("predict", "photo.png", "--click", "120,80"),
        ("cache", "verify", str(made / "masks/identity.zarr")),
    )
    asked = json.dumps(["photo.png", modules_of("stages", "demo", "dvc", "s3"), commands])
    done = run_python(predicting, "-c", PREDICT, asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sizes, said = json.loads(done.stdout)
    assert sizes == [3, 0]
    for (status, output), word in zip(said, ("expected IoU", "intact"), strict=True):
        assert status == 0, output
        assert word in output
    done = run_python(predicting, "-m", "stages.cli", "demo", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith(" must be installed, got none: pip install 'usam-cache[demo]'\n")


def imported_modules() -> Iterator[str]:
    """Top modules of all packages of others that ours import, at their head or later."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    yield from (name.name.partition(".")[0] for name in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield str(node.module).partition(".")[0]


def test_every_module_that_an_extra_brings_is_listed_under_it() -> None:
    brought_by = packages_distributions()
    base = installed_packages()
    for extra, modules in EXTRAS.items():
        packages = {canonicalize_name(package) for m in modules for package in brought_by[m]}
        assert packages - installed_packages(extra) == set()
        assert packages & base == set()
    listed = {*modules_of(*EXTRAS), *sys.stdlib_module_names, *PACKAGES}
    others = {module for module in imported_modules() if module not in listed}
    assert {canonicalize_name(p) for module in others for p in brought_by[module]} - base == set()
