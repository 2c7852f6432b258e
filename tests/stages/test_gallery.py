"""The stage ``gallery`` on a made-up split."""

import io
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.gallery import PREDICTION_COLOUR as GREEN
from pipeline.gallery import TINT
from pipeline.masks import N_CODES
from pipeline.vocabulary import N_PROPOSALS, PROMPTS, PROTOCOLS, TASKS
from stages import gallery
from stages.object_pictures import ShownObject, by_source
from storage.outputs.results import Gallery, read_gallery
from storage.paths import gallery_dir, objects_path
from storage.rle import encode_rle
from storage.split.object_table import ObjectTable, write_objects
from tests.fixtures.drawn_masks import held_rows
from tests.fixtures.eval_split import GRAY, write_gray_images, write_params, write_ranking
from tests.fixtures.extract_project import files_of, run
from tests.fixtures.made_up_objects import table_of
from tests.fixtures.split_cells import write_cell

SPLIT = "val"
N_OBJECTS = 6
SIDE_PX = 64


def object_table() -> ObjectTable:
    """Two objects on each of three grey images, the right one in the middle of its half."""
    truth = np.zeros((SIDE_PX, SIDE_PX), bool)
    truth[28:36, 28:36] = True
    side = np.full(N_OBJECTS // 2, SIDE_PX, np.int32)
    return table_of(
        N_OBJECTS,
        2,
        height_px=side,
        width_px=side,
        box_px=np.full((N_OBJECTS, 4), [28, 28, 8, 8], np.float32),
        mask_rle=np.array([encode_rle(truth)] * N_OBJECTS, np.dtypes.StringDType()),
        point_px=np.full((N_OBJECTS, 8, 2), 32, np.int32),
    )


def write_cells(table: ObjectTable, model: str, view: str = "identity") -> None:
    """Proposal k covers rows 16 k and on; 1 is the best and 2 is selected, of ``center`` alone."""
    shape = (N_OBJECTS, len(PROMPTS), N_PROPOSALS)
    iou, sam_score = np.full(shape, 0.5, np.float32), np.full(shape, 0.5, np.float32)
    iou[:, 1:, 0] = sam_score[:, 1:, 0] = 1
    iou[:, 0, 1] = sam_score[:, 0, 2] = 0.75
    mask_code = np.zeros((*shape, 16, 16), np.uint8)
    for proposal in range(N_PROPOSALS):
        mask_code[:, 0, proposal, 4 * proposal : 4 * proposal + 4] = N_CODES - 1
    rows = held_rows(mask_code, sam_score, iou)
    write_cell((SPLIT, model, view), rows, shard_objects=64, table=table)


def write_project(root: Path) -> None:
    """Write settings, cells, a ranking and images of the split into the working directory."""
    write_params(root, [SPLIT], gallery={"n_objects": 2, "side_px": 96})
    table = write_gray_images(object_table())
    write_objects(objects_path(SPLIT), table, {"split": SPLIT})
    for model in ("tiny", "large"):
        write_cells(table, model)
    write_ranking(SPLIT, table)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all that the stage reads, and what it made of that; not to be changed."""
    root = tmp_path_factory.mktemp("gallery")
    with chdir(root):
        write_project(root)
        run(gallery, SPLIT)
    return root


@pytest.fixture
def drawn(root: Path) -> Gallery:
    return read_gallery(root / gallery_dir(SPLIT))


def test_the_ends_of_every_task_become_pictures_of_each_protocol(drawn: Gallery) -> None:
    assert drawn.table["protocol"].tolist() == [*["best"] * 16, *["selected"] * 18]
    objects = {"best": [105, 104, 101, 100], "selected": [100, 101, 104, 105]}
    files = {"best": ["0002.png", "0002.png", "0000.png", "0000.png"]}
    files["selected"] = files["best"][::-1]
    for protocol in PROTOCOLS:
        table = drawn.of_protocol(protocol).table
        table = table[table["end"].isin(["most", "least"])]
        assert table.groupby(["task", "end"], sort=False).size().tolist() == [2] * 8
        assert table["task"].unique().tolist() == list(TASKS)
        assert table["object_id"].tolist() == objects[protocol] * 4
        assert table["file"].tolist() == files[protocol] * 4
        assert table["picture"][:4].tolist() == [
            f"{protocol}-model-{rank}.webp" for rank in (1, 2, 5, 6)
        ]
    doubted = drawn.table[drawn.table["end"] == "annotation"]
    assert doubted["object_id"].tolist() == [100, 101]
    assert doubted["picture"].tolist() == ["annotation-1.webp", "annotation-2.webp"]
    assert len(drawn.pictures) == 34


def test_a_picture_shows_the_mask_that_its_task_corrects(drawn: Gallery) -> None:
    # The crop is the middle: rows 8..55 of the image, at twice their size.
    green = (1 - TINT) * GRAY + TINT * np.array(GREEN)
    best, selected = (16, 32), (32, 48)
    shown = {f"best-{task}": best for task in TASKS} | {"best-task": selected}
    shown |= {f"selected-{task}": selected for task in TASKS}
    for name, rows in shown.items():
        with Image.open(io.BytesIO(drawn.pictures[f"{name}-1.webp"])) as image:
            column = np.asarray(image)[:, 10].astype(float)
        assert len(column) == 96
        is_green = np.abs(column - green).sum(axis=1) < np.abs(column - GRAY).sum(axis=1)
        inside = np.flatnonzero(is_green) / 2 + 8
        assert inside.min() == pytest.approx(rows[0], abs=2)
        assert inside.max() == pytest.approx(rows[1], abs=2)


def test_two_runs_give_the_same_bytes(root: Path) -> None:
    with chdir(root):
        first = files_of(gallery_dir(SPLIT))
        run(gallery, SPLIT)
        assert files_of(gallery_dir(SPLIT)) == first


def test_frames_of_a_video_are_drawn_together_and_forwards() -> None:
    files = {4: "b.mp4#00008", 1: "0.png", 3: "b.mp4#00000", 2: "a.mp4#00000", 5: "b.mp4#00008"}
    objects: list[ShownObject] = [{"row": row, "file": file} for row, file in files.items()]
    assert [[shown["row"] for shown in group] for group in by_source(objects)] == [
        [1],
        [2],
        [3, 4, 5],
    ]
