"""``usam plan``: what the cells ask for and what is there, before anything runs."""

import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline.extraction.predictions import Request
from pipeline.sam.model import Embedding, Sam
from stages import extract, extract_train, prepare
from stages.cli.app import app
from stages.cli.plan import lacking_table
from stages.extraction import timing
from stages.extraction.models import kept_model
from stages.filling import plans
from stages.settings.blocks import ExtractParams
from stages.settings.params import read_params
from stages.settings.signatures import embedding_cells, train_cells
from stages.settings.versions import VERSIONS
from storage.paths import POOL, features_path, masks_path, objects_path
from storage.split.object_table import read_objects
from storage.split.sharded_table import ShardedTable
from storage.store.chunk_grid import mask_bytes
from tests.fixtures.extract_project import (
    CELL,
    SIZES_PX,
    SPLIT,
    TRAIN_SPLIT,
    draw_project,
    run,
    write_params,
)
from tests.fixtures.made_up_objects import table_of
from tests.fixtures.mini import MODELS

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
    assert "masks at 1.18 to 2.12 kB for each of 64 x 64" in printed
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


def test_before_prepare_the_annotations_are_counted_and_no_image_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = lines()
    shutil.rmtree("cache")
    monkeypatch.delattr(Image, "open")

    assert lines() == prepared


def limit(split: str, max_objects: int | None) -> None:
    """Take so many objects of a split."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["splits"][split] = params["splits"][split] | {"max_objects": max_objects}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_a_split_of_too_few_images_is_refused_or_named_whether_prepared_or_not() -> None:
    limit(SPLIT, 1)
    limit(TRAIN_SPLIT, 1)
    result = plan()
    assert result.exit_code == 1
    too_few = (
        f"note: intervals and verdicts need objects in 3 or more images or videos, got 1 in {SPLIT}"
    )
    reordered = (
        f"note: {SPLIT} changes the order of its objects (max_objects: all -> 1): all of its "
        "shards are computed again; a change of one number to a larger one keeps them"
    )
    refused = (
        f"error: {TRAIN_SPLIT}: train split {TRAIN_SPLIT} must have objects in at least 2 images "
        "or videos, one to learn from and one to be judged on, got 1"
    )
    assert result.stderr.splitlines() == [too_few, reordered, refused]
    assert re.split(r"  +", result.stdout.splitlines()[1].strip())[4:6] == ["1", "1"]
    limit(TRAIN_SPLIT, None)
    run(prepare, SPLIT)
    result = plan()
    assert (result.exit_code, result.stderr.splitlines()) == (0, [too_few])
    limit(SPLIT, 2)
    assert "order" not in plan().stderr


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
def test_shards_under_other_settings_are_named_with_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpublish()
    version = VERSIONS["extract"]
    monkeypatch.setattr("stages.settings.signatures.VERSIONS", {"extract": version + 1})
    why = f"missing, done under other settings (extract_version: {version} -> {version + 1})"
    assert (SPLIT, "1 of 12", "tiny/identity", why) in reasons()
    stdout = CliRunner().invoke(app, ["fill", "--dry-run", "/".join(CELL)]).stdout
    assert stdout.rstrip().endswith(f"  {why}")
    shutil.rmtree(POOL)
    assert (SPLIT, "12 of 12", "all", "missing") in reasons()


@pytest.mark.usefixtures("extracted")
def test_objects_of_other_settings_are_the_reason_of_all_cells() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["prepare"]["seed"] = 1
    Path("params.yaml").write_text(yaml.safe_dump(params))

    why = (
        "cache/objects/{0}.zarr was written under other inputs (seed: 0 -> 1); "
        "`dvc repro prepare@{0}` makes it"
    )
    assert reasons() == [
        (SPLIT, "12 of 12", "all", why.format(SPLIT)),
        (TRAIN_SPLIT, "4 of 4", "all", why.format(TRAIN_SPLIT)),
    ]


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
            plans.FillPlan(large, "missing", 1000, 2000, 3000, is_exact=False),
            plans.FillPlan(of_images, "damaged", 1, 2, 0),
            plans.FillPlan(tiny),
        ],
        read_params().extract,
        lambda *_, **__: (1.0, 0.0),
    )
    headings, *rows = ([*re.finditer(r"\S+(?: \S+)*", line)] for line in table.splitlines())
    assert len(headings) == 12
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


@pytest.mark.usefixtures("extracted")
def test_hours_are_those_of_the_images_and_objects_that_each_model_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = []

    def seconds(
        params: ExtractParams, model: str, prompts: tuple[str, ...], *, with_masks: bool
    ) -> tuple[float, float]:
        timed.append((params.family, model, len(prompts), with_masks))
        return (3600.0, 0.0) if model == "tiny" else (0.0, 1800.0)

    monkeypatch.setattr("stages.extraction.timing.extraction_seconds", seconds)
    result = CliRunner().invoke(app, ["plan", "--time"])
    hours = {
        (cells[0], cells[-1]): cells[9]
        for cells in (re.split(r"  +", line) for line in result.stdout.splitlines())
        if cells[0] == SPLIT
    }
    table = read_objects(objects_path(SPLIT))
    n_views = len(read_params().views)
    others = (len(MODELS) - 1) * n_views * table.n_objects / 2
    lacking = (n_views - 1) * len(table.file) + others
    assert hours == {(SPLIT, "complete"): "~0", (SPLIT, "missing"): f"~{lacking:.2g}"}
    assert len(timed) == len(set(timed))


@pytest.mark.parametrize(("encoder_batch", "n_encoded"), [(1, 3), (2, 4)])
def test_hours_leave_out_the_encoder_where_a_cell_is_decoded_from_embeddings(
    encoder_batch: int, n_encoded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(embedded=[SPLIT], encoder_batch=encoder_batch)
    monkeypatch.setattr(
        "stages.extraction.timing.extraction_seconds",
        lambda _, model, *__, **___: (3600.0 if model == "tiny" else 0.0, 0.0),
    )
    stdout = CliRunner().invoke(app, ["plan", "--time"]).stdout
    lines_of_splits = [re.split(r"  +", line.strip()) for line in stdout.splitlines()[1:3]]
    # Of the split: embeddings, views vflip and gnoise and, if encoded in batches, view identity.
    assert [(line[0], line[-2]) for line in lines_of_splits] == [
        (SPLIT, f"~{n_encoded * len(SIZES_PX)}"),
        (TRAIN_SPLIT, f"~{len(SIZES_PX)}"),
    ]


def test_extraction_is_timed_by_the_image_and_by_the_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, encode = 0, Sam.encode

    def encode_in_3_s(sam: Sam, rgb: np.ndarray) -> Embedding:
        nonlocal now_s
        now_s += 3
        assert torch.get_num_threads() == 1, "as extraction does on a CPU"
        return encode(sam, rgb)

    def extract_in_1_s_each(_sam: Sam, _: Embedding, request: Request, **_how: object) -> None:
        nonlocal now_s
        now_s += len(request.points) * len(request.prompts)

    monkeypatch.setattr(timing, "perf_counter", lambda: now_s)
    monkeypatch.setattr(timing, "extract_objects", extract_in_1_s_each)
    monkeypatch.setattr(Sam, "encode", encode_in_3_s)
    kept_model.cache_clear()
    torch.set_num_threads(2)
    seconds = timing.extraction_seconds(
        read_params().extract, "tiny", ("center", "left"), with_masks=False
    )
    assert seconds == (3, 2)
