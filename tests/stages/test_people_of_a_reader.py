"""A reader of three annotators, as docs/extend.md says: from its files to what people see."""

from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.sam.families import MINI_CHANNELS
from pipeline.scoring.people import DRAWN, PEOPLE
from pipeline.scoring.scores import names_of
from stages import entropy, evaluate, extract, prepare, report
from storage.datasets.frame_folders import paired_stems, read_indices
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source
from storage.datasets.readers import DATA_SETS, DataSet
from storage.outputs.results import SplitResults, read_results
from storage.paths import PAGE, objects_path, results_dir
from storage.rle import encode_rle
from storage.split.object_table import PERSON_ARRAYS, read_objects
from tests.fixtures.eval_split import undrawn, write_heads, write_params
from tests.fixtures.extract_project import run
from tests.fixtures.html_page import read_page, section, words
from tests.fixtures.layouts import draw_picture, write_jpeg
from tests.fixtures.mini import MODELS
from tests.fixtures.report_inputs import write_report_inputs
from tests.fixtures.settings import view_settings

pytestmark = pytest.mark.slow

SEVERAL, ONE = "of_three", "of_one"
"""Splits of the same objects, with and without their annotators."""

READERS: Final = {SEVERAL: "bsds500", ONE: "ade20k"}
"""Readers in whose places the made-up ones stand: settings know the names of all from import on."""

TRAIN_SPLIT: Final = "any_train"
N_IMAGES, N_PERSONS = 4, 3


def list_pictures(source: Source, *, has_annotators: bool) -> tuple[Medium, ...]:
    """Every picture that has a map of ids, which three made-up persons divide."""
    names = paired_stems("Divided", source.images, source.annotations)
    return tuple(
        Medium(f"Divided image {name}", partial(_read, source, name, has_annotators=has_annotators))
        for name in names
    )


def maps_of(ids: np.ndarray) -> tuple[np.ndarray, ...]:
    """Each person's map of labels: the objects, all of them as one, and each cut at the middle."""
    is_right = np.arange(ids.shape[1]) >= ids.shape[1] // 2
    return ids, (ids > 0).astype(np.uint8), np.where(ids > 0, 2 * ids + is_right, 0)


def _read(source: Source, name: str, *, has_annotators: bool) -> Iterator[Annotated]:
    ids = read_indices(source.annotations / f"{name}.png", f"Divided image {name}", ("L",))
    segments = [
        (person, int(value), encode_rle(labels == value))
        for person, labels in enumerate(maps_of(ids))
        for value in np.unique(labels)
    ]
    objects = [segment for segment in segments if segment[1] > 0]
    annotated = Annotated(
        ImageRecord(f"{name}.jpg", *ids.shape),
        tuple((1000 * person + value, rle) for person, value, rle in objects),
        annotators=tuple(person for person, *_ in objects),
        segments=tuple((person, rle) for person, _, rle in segments),
    )
    yield annotated if has_annotators else replace(annotated, annotators=(), segments=())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with both splits, run to the report; not to be changed."""
    root = tmp_path_factory.mktemp("persons")
    place = {"images": "images", "annotations": "maps"}
    with chdir(root), undrawn(), pytest.MonkeyPatch.context() as patch:
        draw_pictures(root)
        for split, name in READERS.items():
            reader = partial(list_pictures, has_annotators=split == SEVERAL)
            patch.setitem(DATA_SETS, name, DataSet(reader))
        splits = {split: {"reader": name, **place} for split, name in READERS.items()}
        write_params(
            root,
            [SEVERAL, ONE],
            train_splits=[TRAIN_SPLIT],
            views=view_settings("identity"),
            splits={**splits, TRAIN_SPLIT: splits[ONE]},
        )
        write_heads(root, TRAIN_SPLIT, n_channels=MINI_CHANNELS)
        for split in (SEVERAL, ONE):
            run(prepare, split)
            for model in MODELS:
                run(extract, split, model, "identity")
            run(entropy, split)
            run(evaluate, split)
        write_report_inputs(root, [SEVERAL, ONE], [TRAIN_SPLIT])
        run(report)
    return root


def draw_pictures(root: Path) -> None:
    (root / "maps").mkdir()
    for seed in range(N_IMAGES):
        picture = draw_picture(seed)
        write_jpeg(root / "images" / f"{seed}.jpg", picture.rgb)
        Image.fromarray(picture.ids).save(root / "maps" / f"{seed}.png")


def results_of(project: Path, split: str) -> SplitResults:
    return read_results(project / results_dir(split))


def test_the_objects_store_has_the_annotators_and_their_segments(project: Path) -> None:
    several, one = (read_objects(project / objects_path(split)) for split in (SEVERAL, ONE))
    assert several.annotator is not None
    assert set(several.annotator) == set(range(N_PERSONS))
    assert several.arrays.keys() - one.arrays.keys() == {"annotator", *PERSON_ARRAYS.values()}
    for rle in several.segments_of_persons.values():
        assert rle.shape == (several.n_objects, N_PERSONS)
        # Each person divides the whole image, so that each click has a segment of each.
        assert (rle != "").all()


def test_agreement_is_that_of_the_maps_under_the_first_clicks(project: Path) -> None:
    objects = read_objects(project / objects_path(SEVERAL))
    agreements = []
    for image, (x, y) in zip(objects.image_index, objects.point_px[:, 0], strict=True):
        ids = np.asarray(Image.open(project / "maps" / f"{image}.png"))
        segments = [labels == labels[y, x] for labels in maps_of(ids)]
        pairs = combinations(segments, 2)
        agreements.append(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))
    scores = results_of(project, SEVERAL).scores
    (told,) = scores[scores["statistic"] == "people_agreement"]["value"]
    assert told == pytest.approx(np.mean(agreements), abs=1e-6)


def test_the_array_of_annotators_adds_rows_about_people_and_changes_no_other(project: Path) -> None:
    several, one = (results_of(project, split).scores for split in (SEVERAL, ONE))
    is_about_people = several["statistic"].isin(names_of(PEOPLE))
    told = several[is_about_people]
    assert {"people_agreement", "people_rank", *DRAWN.values()} <= set(told["statistic"])
    assert not one["statistic"].isin(names_of(PEOPLE)).any()
    others = several[~is_about_people].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, one)


def test_the_page_says_what_people_see_of_this_split_alone(project: Path) -> None:
    page = read_page(project / PAGE)
    (heading,) = (words(h2) for h2 in page.iter("h2") if h2.get("id") == "people-selected")
    assert "What people see" in heading
    told = words(section(page, "people-selected"))
    assert (SEVERAL in told, ONE in told) == (True, False)
    tables = {path.stem for path in (project / "results" / "tables").rglob("people*.csv")}
    assert {f"people_{SEVERAL}", f"people_iou_{SEVERAL}", f"people_drawn_{SEVERAL}"} <= tables
    assert not any(name.endswith(ONE) for name in tables)
