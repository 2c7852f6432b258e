"""``usam plan``: what the cells ask for and what is there, before anything runs."""

import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from stages import extract, extract_train, prepare
from stages.cli.app import app
from stages.cli.plan import lacking_table
from stages.filling import plans
from stages.settings.params import read_params
from stages.settings.signatures import embedding_cells, train_cells
from stages.settings.versions import VERSIONS
from storage.paths import POOL, features_path, masks_path, objects_path
from storage.split.object_table import read_objects, write_objects
from storage.split.sharded_table import ShardedTable
from storage.store.chunk_grid import mask_bytes
from tests.fixtures.extract_project import (
    CELL,
    SPLIT,
    TRAIN_SPLIT,
    draw_project,
    run,
    write_params,
)
from tests.fixtures.made_up_objects import table_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    with chdir(root):
        draw_project(n_objects=3)
    return root


@pytest.fixture(scope="module")
def some_extracted(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``drawn`` with one cell of either split."""
    root = tmp_path_factory.mktemp("extracted")
    shutil.copytree(drawn, root, dirs_exist_ok=True)
    with chdir(root):
        run(extract, *CELL)
        run(extract_train, TRAIN_SPLIT, "tiny", "identity")
    return root


@pytest.fixture(autouse=True)
def project(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of ``drawn``, as the working directory."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def extracted(some_extracted: Path, project: None) -> None:  # noqa: ARG001 - goes before
    """The same with what was extracted of it."""
    shutil.copytree(some_extracted, Path(), dirs_exist_ok=True)


def plan() -> Result:
    return CliRunner().invoke(app, ["plan"])


def lines() -> list[list[str]]:
    """Lines of splits, without their sum."""
    result = plan()
    assert result.exit_code == 0
    printed = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]
    return [line for line in printed if line[0] in (SPLIT, TRAIN_SPLIT)]


def reasons() -> list[tuple[str, ...]]:
    """Of each line: split, number of cells, which, why."""
    return [(split, cells, which, why) for split, cells, which, *_, why in lines()]


def n_there() -> tuple[int, int]:
    """Complete cells of either split."""
    found = {split: cells for split, cells, *_, why in lines() if why == "complete"}
    some, of_train = (int(found.get(name, "0").split()[0]) for name in (SPLIT, TRAIN_SPLIT))
    return some, of_train


def test_the_cells_are_added_up() -> None:
    n_objects = read_objects(objects_path(SPLIT)).n_objects

    some, of_train = lines()

    # Four models in three views, nine prompt sets; in identity alone, two prompt sets.
    n_answers = 4 * 3 * 9 * n_objects
    n_shards = -(-n_objects // read_params().extract.shard_objects)
    n_train = 4 * n_objects
    features = 4 * n_answers * (3 + 3 + 64 + 4 * 64 + 1 + 4 * 3)
    # Mean and deviation of 88 channels of the encoder in each cell.
    features += 4 * 12 * n_objects * 2 * 88
    # In identity, the IoU of each proposal at nine cuts, and its stability score.
    features += 4 * n_answers // 3 * 3 * (9 + 1)
    low, high = (n_answers * 3 * n_bytes / 1e6 for n_bytes in mask_bytes(64))
    masks = f"{low:.3g} to {high:.3g} MB"
    assert some[3:] == [
        *(f"{12 * n_shards}", "5", f"{n_objects}", f"{n_answers:,}"),
        *(f"{features / 1e6:.3g} MB", masks, "missing"),
    ]
    assert of_train[3:7] == [f"{4 * n_shards}", "5", f"{n_objects}", f"{2 * n_train}"]
    assert of_train[8:] == ["0 B", "missing"]
    printed = plan().stdout
    assert "masks at 0.625 to 1.38 kB for each of 64 x 64" in printed
    (total,) = [line.split() for line in printed.splitlines() if line.startswith("all")]
    assert total[1:5] == ["16", f"{16 * n_shards}", "10", f"{2 * n_objects}"]


@pytest.mark.no_cover
def test_masks_of_a_trained_model_take_as_many_bytes_as_is_told() -> None:
    write_params(weights="file")
    run(extract, *CELL)
    codes = masks_path(*CELL) / "mask_code"
    n_bytes = sum(file.stat().st_size for file in codes.iterdir())
    n_masks = 9 * 3 * read_objects(objects_path(SPLIT)).n_objects

    low, high = mask_bytes(64)

    assert low <= n_bytes / n_masks <= high


def test_a_split_that_is_not_prepared_is_named_with_the_command_and_others_are_planned() -> None:
    shutil.rmtree(objects_path(TRAIN_SPLIT))
    result = plan()
    assert result.exit_code == 1
    where, command = objects_path(TRAIN_SPLIT), f"`dvc repro prepare@{TRAIN_SPLIT}` makes it"
    assert result.stderr == (
        f"error: {TRAIN_SPLIT}: {where} must be a Zarr store, got none; {command}\n"
    )
    assert SPLIT in result.stdout
    assert TRAIN_SPLIT not in result.stdout


def limit(split: str, max_objects: int | None) -> None:
    """Take so many objects of a split."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["splits"][split] = params["splits"][split] | {"max_objects": max_objects}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_a_split_of_too_few_images_is_refused_or_named() -> None:
    limit(SPLIT, 1)
    limit(TRAIN_SPLIT, 1)
    others = (
        "error: {0}: cache/objects/{0}.zarr was written under other inputs (max_objects: all -> 1, "
        "order: none -> seeded); `dvc repro prepare@{0}` makes it"
    )
    assert plan().stderr.splitlines() == [others.format(s) for s in (SPLIT, TRAIN_SPLIT)]
    limit(TRAIN_SPLIT, None)
    run(prepare, SPLIT)
    result = plan()
    assert result.exit_code == 0
    assert result.stderr == (
        "note: intervals and verdicts need objects in 3 or more images or videos, got 1 in "
        f"{SPLIT}\n"
    )
    table = read_objects(objects_path(TRAIN_SPLIT))
    one_image = table.part(slice(0, 1), slice(0, int((table.image_index == 0).sum())))
    write_objects(objects_path(TRAIN_SPLIT), one_image, table.signature)
    assert plan().stderr.splitlines()[-1] == (
        f"error: {TRAIN_SPLIT}: train split {TRAIN_SPLIT} must have objects in at least 2 images "
        "or videos, one to learn from and one to be judged on, got 1"
    )


def test_trials_of_too_few_objects_are_refused_before_anything_is_extracted() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["tune"] |= {"n_trials": 1, "max_objects": 2}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    result = plan()
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {TRAIN_SPLIT}: tune.max_objects must hold an image or video to learn from, got 2, "
        "2 of them for that\n"
    )


@pytest.mark.usefixtures("extracted")
def test_cells_are_there_when_they_are_complete_and_of_these_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert n_there() == (1, 1)

    with monkeypatch.context() as patch:
        patch.setattr("stages.settings.signatures.VERSIONS", {"extract": 2})
        assert n_there() == (0, 0)

    (masks_path(*CELL) / "prompt" / "c.0").unlink()
    assert n_there() == (0, 1)


@pytest.mark.usefixtures("extracted")
def test_cells_of_other_settings_are_grouped_by_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stages.settings.signatures.VERSIONS", {"extract": 2})
    write_params(precision="bf16")
    some = "tiny/vflip, tiny/gnoise, small/identity, small/vflip, small/gnoise and 6 more"
    differ = f"extract_version: {VERSIONS['extract']} -> 2, precision: fp32 -> bf16"

    assert reasons() == [
        (SPLIT, "1 of 12", "tiny/identity", differ),
        (SPLIT, "11 of 12", some, "missing"),
        (TRAIN_SPLIT, "1 of 4", "tiny/identity", differ),
        (TRAIN_SPLIT, "3 of 4", "small/identity, base_plus/identity, large/identity", "missing"),
    ]


def lose_masks() -> None:
    shutil.rmtree(masks_path(*CELL))


def unpublish() -> None:
    lose_masks()
    shutil.rmtree(features_path(*CELL))


def spoil() -> None:
    (features_path(*CELL) / "zarr.json").write_text("{")


@pytest.mark.usefixtures("extracted")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lose_masks, "masks missing"),
        (unpublish, "2 of 2 shards done"),
        (spoil, "damaged"),
    ],
)
def test_a_cell_that_lacks_something_is_told_apart(change: Callable[[], None], why: str) -> None:
    change()

    assert (SPLIT, "1 of 12", "tiny/identity", why) in reasons()


@pytest.mark.usefixtures("extracted")
def test_objects_of_other_settings_are_refused_with_what_differs() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["prepare"]["seed"] = 1
    Path("params.yaml").write_text(yaml.safe_dump(params))
    result = plan()
    why = (
        "error: {0}: cache/objects/{0}.zarr was written under other inputs (seed: 0 -> 1); "
        "`dvc repro prepare@{0}` makes it"
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [why.format(SPLIT), why.format(TRAIN_SPLIT)]


class CountedName(str):
    """A name of a shard that counts how often it is compared with another name."""

    __slots__ = ()
    n_compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.n_compared += 1
        return super().__eq__(other)


def test_each_shard_is_looked_up_once_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_shards = 2000
    table = table_of(n_shards, per_image=10, signature={"group": "image"})
    split = ShardedTable(table, shard_rows=1)
    split.__dict__["names"] = tuple(map(CountedName, split.names))
    monkeypatch.setattr(plans, "prepared_as_set", lambda *_: split)
    CountedName.n_compared = 0
    cells, _ = plans.plan_split(SPLIT, read_params())
    assert {cell.n_shards for cell in cells} == {n_shards}
    assert CountedName.n_compared <= 10 * n_shards * len(cells)


@pytest.mark.usefixtures("extracted")
def test_images_that_are_gone_are_named_also_where_all_is_complete() -> None:
    note = (
        "note: {}: images must be {}; complete cells stay complete, but no other cell can be "
        "computed until its images are there"
    )
    assert "images" not in plan().stderr
    shutil.rmtree("images")
    fault = "in the folder images, got no such folder"
    assert plan().stderr.splitlines() == [note.format(s, fault) for s in (SPLIT, TRAIN_SPLIT)]
    Path("images").write_text("# Images\n", "utf-8")
    fault = (
        "a folder, or a text file with its address (s3://... or https://...), got a file images "
        "with '# Images'"
    )
    assert plan().stderr.splitlines() == [note.format(s, fault) for s in (SPLIT, TRAIN_SPLIT)]
    Path("images").write_text("s3://bucket/images\n", "utf-8")
    assert "images" not in plan().stderr
    assert n_there() == (1, 1)


def test_numbers_are_flush_right_and_text_is_flush_left() -> None:
    (large,) = train_cells("first", ["large"])
    (tiny,) = train_cells("b", ["tiny"])
    (of_images,) = embedding_cells("b", ["tiny"])
    table = lacking_table(
        [
            plans.FillPlan(large, "missing", 1000, 2000, 3000),
            plans.FillPlan(of_images, "damaged", 1, 2, 0),
            plans.FillPlan(tiny),
        ],
        read_params().extract,
    )
    headings, *rows = ([*re.finditer(r"\S+(?: \S+)*", line)] for line in table.splitlines())
    assert len(headings) == 11
    for row in rows[:3]:
        for heading, cell in zip(headings, row, strict=True):
            if heading[0] in {"split", "which", "why"}:
                assert cell.start() == heading.start()
            else:
                assert cell.end() == heading.end()


def test_nothing_is_written() -> None:
    before = sorted(str(path) for path in Path().rglob("*"))
    plan()
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_jobs_with_fewer_cores_than_keep_up_with_a_gpu_are_told() -> None:
    """Masks of the mini models, of 64 px, take the host less."""
    assert "cores beside a GPU" not in plan().stdout
    write_params(family="sam2.1", weights="random-0", device="auto")
    of_slurm = {"kind": "slurm", "slurm": {"cores": 4}}
    for executor, is_told in ((of_slurm, True), ({"kind": "inline"}, False)):
        params = yaml.safe_load(Path("params.yaml").read_text()) | {"executor": executor}
        Path("params.yaml").write_text(yaml.safe_dump(params))
        result = plan()
        assert "\ncores beside a GPU: 7 to 15; for an image in a cell, the host" in result.stdout
        note = "note: executor.slurm.cores should be at least 7 for gpus: 1, got 4, for which"
        assert (note in result.stderr) == is_told
    write_params(family="sam2.1", weights="random-0", device="cpu")
    assert "cores beside a GPU" not in plan().stdout


def test_a_line_has_the_images_and_objects_of_the_cell_that_lacks_most() -> None:
    first, second, third = train_cells(TRAIN_SPLIT, ["tiny", "small", "large"])
    numbers = (first, 1, 2, 3), (second, 10, 20, 30), (third, 4, 5, 6)
    lacking = [plans.FillPlan(name, "missing", *of_cell) for name, *of_cell in numbers]
    _, row = lacking_table(lacking, read_params().extract).splitlines()
    assert row.split()[5:8] == ["15", "20", "30"]


def test_shards_that_published_stores_have_are_not_missing(some_extracted: Path) -> None:
    shutil.copytree(some_extracted, Path(), dirs_exist_ok=True)
    shutil.rmtree(POOL)
    (shard, *_) = sorted(masks_path(*CELL).glob("mask_code/c.*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    (line,) = [line for line in plan().stdout.splitlines() if line.endswith("  damaged")]
    assert line.split()[5:8] == ["0", "0", "0"]
