"""What DVC runs, and what it does not run again: the real stages in a small copy of the project."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.heads.kinds import KINDS
from tests.fixtures.demo_copy import ALL_STAGES, VIEWS, Demo
from tests.fixtures.dvc_stages import CHEAP, PACKAGES, files_below, plumbing
from tests.fixtures.project_copy import (
    FEW_MODELS,
    change_params,
    read_params,
    repro,
    run,
)
from tests.fixtures.random_damage import check_round, recorded_outputs
from tests.fixtures.settings import view_settings

pytestmark = pytest.mark.slow

MOST_OVER_OUTPUTS = 1.15
"""What lies on the disk, over the bytes of the outputs, but for features in the pool."""


@pytest.fixture(scope="module")
def edited(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo once more, for ``edits``."""
    root = tmp_path_factory.mktemp("edited") / "project"
    shutil.copytree(demo.root, root, symlinks=True)
    return root


@pytest.fixture
def edits(edited: Path) -> Iterator[Path]:
    """A copy in which nothing runs; edits are taken back behind each test."""
    yield edited
    run(edited, "git", "checkout", "--quiet", ".")


def stale(root: Path) -> set[str]:
    """Stages that DVC would run because of what they depend on themselves, by its status."""
    return set(json.loads(run(root, "dvc", "status", "--json")))


def add_comments(root: Path, files: Iterable[str]) -> None:
    """Edit files in a way that changes nothing."""
    for name in files:
        with (root / name).open("a", encoding="utf-8") as file:
            file.write("# An edited comment.\n")


def test_every_stage_runs_once(demo: Demo) -> None:
    assert sorted(demo.ran) == sorted(ALL_STAGES)
    assert (demo.root / "results" / "report.html").is_file()


def made_files(root: Path) -> dict[str, bytes]:
    """All outputs but the seconds of ``runtime``, and what shows them or names the commit."""
    places = ("data", "cache/*/", "heads", "results/splits", "results/gallery")
    folders = [path for place in places for path in root.glob(place)]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    files += [root / "results" / "metrics.json"]
    found = {file.relative_to(root).as_posix(): file.read_bytes() for file in files}
    untracked = ("cache/pool/", "cache/work/")
    return {name: data for name, data in found.items() if not name.startswith(untracked)}


def test_without_dvc_the_same_commands_write_the_same_bytes(demo: Demo, demo_copy: Path) -> None:
    # Of the outputs, the pool alone stays, so that no model runs again.
    outputs = [demo_copy / name for name in ("data", "heads", "results")]
    in_cache = [folder for folder in demo_copy.glob("cache/*/") if folder.name != "pool"]
    for folder in (demo_copy / ".dvc", *outputs, *in_cache):
        shutil.rmtree(folder)
    (demo_copy / "dvc.lock").unlink()
    (demo_copy / "dvc.py").write_text("raise ModuleNotFoundError(name='dvc')", "utf-8")
    said = run(demo_copy, "python", "-m", "stages.cli", "run")
    ran = re.findall(r"^Running stage '(.+)':$", said, re.MULTILINE)
    assert sorted(ran) == sorted(ALL_STAGES)
    assert (demo_copy / "results" / "report.html").is_file()
    wanted, found = made_files(demo.root), made_files(demo_copy)
    assert found.keys() == wanted.keys()
    assert [name for name, data in found.items() if data != wanted[name]] == []


def test_after_the_demo_nothing_is_out_of_date(demo: Demo, edits: Path) -> None:
    assert run(edits, "dvc", "status").strip() == "Data and pipelines are up to date."
    assert demo.changed_files == ["dvc.lock"]


def test_features_lie_on_the_disk_twice_and_all_else_once(demo: Demo) -> None:
    stages = yaml.safe_load((demo.root / "dvc.lock").read_text("utf-8"))["stages"]
    outputs = sum(out["size"] for stage in stages.values() for out in stage["outs"])
    places = [demo.root / name for name in ("data", "cache", "heads", "results", ".dvc/cache")]
    stats = [file.lstat() for place in places for file in place.rglob("*") if file.is_file()]
    on_disk = sum({stat.st_ino: stat.st_size for stat in stats}.values())
    twice = sum(file.stat().st_size for file in demo.root.glob("cache/pool/*/*/*.npz"))
    assert on_disk <= MOST_OVER_OUTPUTS * outputs + twice
    features = [file for file in (demo.root / "cache/features").rglob("*") if file.is_file()]
    assert 0 < twice <= 1.3 * sum(file.stat().st_size for file in features)


def test_a_new_view_makes_its_cells_and_what_reads_them_stale(edits: Path) -> None:
    change_params(edits, views=view_settings(*VIEWS, "hflip"))
    cells = {f"extract@shapes_val-{model}-hflip" for model in FEW_MODELS}
    # The gallery shows what the models say of the image itself.
    assert stale(edits) == cells | {"entropy@shapes_val", "evaluate@shapes_val"}


NOISE = view_settings("identity") | {"gnoise": {"variance": 5000, "seed": 1}}


@pytest.mark.parametrize(
    ("changes", "of_cells"),
    [({"views": NOISE}, "gnoise"), ({"extract": {"weights": "random-1"}}, "")],
    ids=["noise", "weights"],
)
def test_another_seed_makes_the_cells_stale_that_depend_on_it(
    edits: Path, changes: dict[str, Any], of_cells: str
) -> None:
    change_params(edits, **changes)
    cells = {name for name in ALL_STAGES if name.startswith("extract") and of_cells in name}
    assert {name for name in stale(edits) if name.startswith("extract")} == cells


def test_edited_plumbing_makes_nothing_stale(edits: Path) -> None:
    add_comments(edits, plumbing())
    assert stale(edits) == set()


def test_edited_code_and_another_device_run_no_stage_that_takes_hours(edits: Path) -> None:
    add_comments(edits, {file for package in PACKAGES for file in files_below(package)})
    change_params(edits, extract={"device": "auto"})
    assert {name.partition("@")[0] for name in stale(edits)} == set(CHEAP)


@pytest.mark.parametrize("seed", range(3))
def test_a_round_of_random_damage_ends_complete_by_repair_alone(
    seed: int, demo: Demo, demo_copy: Path
) -> None:
    run(demo_copy, "dvc", "checkout", "--relink")
    assert (demo_copy / "cache/objects/shapes_val.zarr/zarr.json").stat().st_nlink >= 2
    check_round(demo_copy, seed, recorded_outputs(demo.root))


def test_heads_of_other_features_are_trained_again_by_the_command_that_evaluate_names(
    demo_copy: Path,
) -> None:
    splits = read_params(demo_copy)["splits"]
    splits["shapes_train"]["max_objects"] = 16
    change_params(demo_copy, splits=splits)
    repro(demo_copy, *(f"extract_train@shapes_train-{model}-identity" for model in FEW_MODELS))
    evaluate = ("python", "-m", "stages.evaluate", "shapes_val")
    for kind in KINDS:
        with pytest.raises(AssertionError, match=r"features_digest \(\w+ -> \w+\)") as refused:
            run(demo_copy, *evaluate)
        (command,) = re.findall("`(dvc repro .+)` makes it", str(refused.value))
        assert command.endswith(f"-{kind}")
        run(demo_copy, "bash", "-ec", command)
    run(demo_copy, *evaluate)
