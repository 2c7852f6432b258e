"""Ten times the objects: memory of each stage, its time and the files of its stores.

But of ``tune`` and ``train``, which draw batches from all objects, and so hold what heads read.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from stages import evaluate, prepare
from storage.outputs.results import read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import (
    VIEWS,
    write_gray_images,
    write_heads,
    write_params,
    write_split,
)
from tests.fixtures.extract_project import run
from tests.fixtures.made_up_coco import HEIGHT_PX, WIDTH_PX, Json, annotation, image_record
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.measured import measured
from tests.fixtures.mini import MODELS, seed_of
from tests.fixtures.report_inputs import write_report_inputs, write_split_results
from tests.fixtures.signatures import EXTRACT
from tests.fixtures.split_cells import draw_rows, write_cell, write_soft_cells, write_table
from tools.bars import Bar, missed_bars

SPLIT: Final = "coco_val"
SIDE_PX: Final = 64
IMAGE_PX: Final = 512
"""At 256 px, all images together would be too little beside what the libraries take."""

N_EVALUATED: Final = 40
"""Objects whose results are repeated."""

MAX_TIME: Final = 11.0
MAX_MEMORY: Final = 1.10
MAX_FILES: Final = 1000


@dataclass(frozen=True)
class Case:
    """A stage, what it reads of a number of objects, and the smaller number."""

    stage: str
    write: Callable[[int], None]
    n_few: int
    arguments: tuple[str, ...] = (SPLIT,)


def write_data_set(n_objects: int) -> None:
    """A data set in COCO's layout, three objects an image, and no store."""
    image = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    write_coco(image, [annotation(i, i // 3) for i in range(n_objects)])


def write_images(n_objects: int) -> None:
    """A prepared data set of images that memory would show if all of them were kept."""
    masks = [np.zeros((IMAGE_PX, IMAGE_PX), bool) for _ in range(3)]
    for i, mask in enumerate(masks):
        mask[100 : 200 + 90 * i, 160 * i : 160 * i + 120] = True
    shade = 80 * np.sum([mask * (i + 1) for i, mask in enumerate(masks)], axis=0) % 240
    objects = [annotation(i, i // 3, masks[i % 3]) for i in range(n_objects)]
    write_coco(shade.astype(np.uint8), objects)
    run(prepare, SPLIT)


def write_coco(image: np.ndarray, annotations: list[Json]) -> None:
    """A data set of images that differ in their shade, of three objects each."""
    height, width = image.shape
    n_images = -(-len(annotations) // 3)
    records = [image_record(i, height=height, width=width) for i in range(n_images)]
    Path("data").mkdir()
    content = json.dumps({"images": records, "annotations": annotations})
    Path("data.json").write_text(content, encoding="utf-8")
    for i in range(n_images):
        Image.fromarray(image + np.uint8(i % 16)).convert("RGB").save(f"data/{i}.png")


def write_cells(n_objects: int) -> None:
    """Masks and features of every model and view."""
    shard_objects = EXTRACT["shard_objects"]
    write_soft_cells(SPLIT, n_objects, VIEWS, size_px=SIDE_PX, shard_objects=shard_objects)


def write_scores(n_objects: int) -> None:
    """Features and entropies, and heads that judge them."""
    write_split(SPLIT, n_objects)
    write_heads(Path(), "shapes_train")


def write_results(n_objects: int) -> None:
    """Results of few objects, whose tables of objects have many."""
    write_split(SPLIT, N_EVALUATED)
    write_heads(Path(), "shapes_train")
    run(evaluate, SPLIT)
    write_report_inputs(Path(), [SPLIT], ["shapes_train"])
    found = read_results(results_dir(SPLIT))
    objects = repeated(found.objects, n_objects)
    write_split_results(results_dir(SPLIT), replace(found, objects=objects))


def repeated(objects: pd.DataFrame, n_objects: int) -> pd.DataFrame:
    """Rows of many objects under each model and judged mask."""
    object_id = object_table(n_objects).object_id
    times = np.arange(n_objects) % N_EVALUATED
    parts = objects.groupby(["protocol", "judged", "model"], sort=False)
    return pd.concat([rows.iloc[times].assign(object_id=object_id) for _, rows in parts])


def write_ranking(n_objects: int) -> None:
    """What the gallery chooses by, and the cells and images of its pictures."""
    write_results(n_objects)
    shutil.rmtree("cache")
    table = write_table(SPLIT, n_objects, table=write_gray_images(object_table(n_objects)))
    for model in MODELS:
        rows = draw_rows(seed_of(model), n_objects, 8)
        shard_objects = EXTRACT["shard_objects"]
        write_cell((SPLIT, model, "identity"), rows, shard_objects=shard_objects, table=table)


CASES: Final = (
    Case("prepare", write_data_set, 300),
    Case("extract", write_images, 128, (SPLIT, "tiny", "identity")),
    Case("entropy", write_cells, 128),
    Case("evaluate", write_scores, 400),
    Case("gallery", write_ranking, 400),
    Case("report", write_results, 400, ()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stage)
def test_ten_times_the_objects_take_as_much_memory(
    case: Case, tmp_path: Path, benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    for n_objects in (case.n_few, 10 * case.n_few):
        root = tmp_path / str(n_objects)
        root.mkdir()
        monkeypatch.chdir(root)
        write_params(root, [SPLIT])
        case.write(n_objects)
        used.append(measured(case.stage, case.arguments, root))
    few, many = used
    time_ratio = many["busy_s"] / few["busy_s"]
    memory_ratio = many["bytes"] / few["bytes"]
    n_files = max(
        sum(path.is_file() for path in store.rglob("*")) for store in root.rglob("*.zarr")
    )
    benchmark(lambda: None)
    what, stage = "a stage with ten times the objects", case.stage
    missed = missed_bars(
        benchmark,
        Bar(f"{what}: processor time", time_ratio, at_most=MAX_TIME, case=stage),
        Bar(f"{what}: memory", memory_ratio, at_most=MAX_MEMORY, case=stage),
        Bar(f"{what}: files per store", n_files, at_most=MAX_FILES, case=stage),
    )
    assert missed == []
