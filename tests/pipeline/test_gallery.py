"""Which objects the gallery shows, and what a picture of one shows."""

from functools import cache

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.predictions import encode_logits
from pipeline.gallery import (
    CLICK_COLOUR,
    CONTEXT,
    MIN_SIDE_PX,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    WHITE,
    by_judged,
    crop,
    draw_object,
    extremes,
    foreground,
    gallery_rows,
    ranking_columns,
)
from pipeline.scoring.measures import GALLERY_MEASURES, uncertainty_column
from pipeline.scoring.tasks import JUDGED_BY_PROTOCOL
from pipeline.vocabulary import TASKS

N_OBJECTS = 9
GREY = 100


@cache
def objects(*models: str, train_splits: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table of objects drawn at random, in the form of ``objects.csv``."""
    rng = np.random.default_rng(len(train_splits))
    names = ["best_iou", "selected_iou", "refined_iou", "refined_selected_iou", "sam_score"]
    names += [uncertainty_column(untrained) for *_, untrained in GALLERY_MEASURES.values()]
    names += [
        uncertainty_column(name, split)
        for split in train_splits
        for *trained, _ in GALLERY_MEASURES.values()
        for name in trained
    ]
    ious = {model: rng.random((4, N_OBJECTS)) for model in models}
    blocks = [
        pd.DataFrame(
            # As in videos, ids repeat.
            {"protocol": protocol, "judged": judged, "model": model}
            | {"object_id": np.arange(N_OBJECTS) % 4}
            | dict(zip(names, ious[model], strict=False))
            | {name: rng.random(N_OBJECTS) for name in names[4:]}
        )
        for protocol, judged in JUDGED_BY_PROTOCOL
        for model in models
    ]
    return pd.concat(blocks, ignore_index=True)


@cache
def rows_of(train_splits: tuple[str, ...]) -> pd.DataFrame:
    return gallery_rows(by_judged([objects("tiny", "large", train_splits=train_splits)]), 2)


@pytest.mark.parametrize("train_splits", [(), ("a", "b")])
def test_the_ranking_holds_all_that_the_gallery_reads_and_nothing_of_several_views(
    train_splits: tuple[str, ...],
) -> None:
    table = objects("tiny", "large", train_splits=train_splits).assign(h_y=0.5, h_t=0.5)
    ranking = table[ranking_columns(list(table.columns))]
    pd.testing.assert_frame_equal(
        gallery_rows(by_judged([ranking]), 2), gallery_rows(by_judged([table]), 2)
    )
    assert not {"h_y", "h_t"} & set(ranking.columns)
    # Protocol, judged, model, object, four IoUs, and for each of four tasks a measure, or two of
    # heads.
    assert len(ranking.columns) == (16 if train_splits else 12)


@pytest.mark.parametrize(
    ("protocol", "task", "model", "before", "after"),
    [
        ("best", "model", "tiny", "best_iou", ("large", "best_iou")),
        ("best", "prompt", "tiny", "best_iou", ("tiny", "refined_iou")),
        ("best", "task", "tiny", "selected_iou", ("tiny", "best_iou")),
        ("best", "segmentation", "large", "best_iou", None),
        ("selected", "model", "tiny", "selected_iou", ("large", "selected_iou")),
        ("selected", "prompt", "tiny", "selected_iou", ("tiny", "refined_selected_iou")),
        ("selected", "task", "tiny", "selected_iou", ("tiny", "best_iou")),
        ("selected", "segmentation", "large", "selected_iou", None),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("train_splits", [(), ("a", "b")])
def test_each_task_shows_the_ends_of_its_measure(
    protocol: str,
    task: str,
    model: str,
    before: str,
    after: tuple[str, str] | None,
    train_splits: tuple[str, ...],
    place: int,
) -> None:
    table = objects("tiny", "large", train_splits=train_splits)
    judged = before.removesuffix("_iou")
    of_judged = table[(table["protocol"] == protocol) & (table["judged"] == judged)]
    by_model = {name: rows.reset_index() for name, rows in of_judged.groupby("model")}
    of_model = by_model[model]
    rows = rows_of(train_splits)
    assert rows["task"].unique().tolist() == list(TASKS)
    of_task = rows[(rows["protocol"] == protocol) & (rows["task"] == task)]
    *trained, untrained = GALLERY_MEASURES[task]
    assert of_task["measure"].unique().tolist() == (trained if train_splits else [untrained])
    measure = trained[place] if train_splits else untrained
    shown = of_task[(of_task["measure"] == measure) & of_task["end"].isin(["most", "least"])]
    assert shown["end"].tolist() == ["most", "most", "least", "least"]
    assert shown["rank"].tolist() == [1, 2, N_OBJECTS - 1, N_OBJECTS]
    uncertainty = of_model[uncertainty_column(measure, "a" if train_splits else "")]
    in_order = uncertainty.sort_values(ascending=False)
    assert shown["row"].tolist() == [*in_order.index[:2], *in_order.index[-2:]]
    assert shown["uncertainty"].tolist() == [*in_order[:2], *in_order[-2:]]
    assert set(shown["train_split"]) == {"a" if train_splits else ""}
    assert set(shown["model"]) == {model}
    assert shown["object_id"].tolist() == of_model["object_id"][shown["row"]].tolist()
    assert shown["iou"].tolist() == of_model[before][shown["row"]].tolist()
    corrected = by_model[after[0]][after[1]] if after else pd.Series(1.0, index=of_model.index)
    assert shown["corrected_iou"].tolist() == corrected[shown["row"]].tolist()


def tinted(*colours: tuple[int, int, int]) -> list[int]:
    """Grey behind one mask after the other."""
    pixel = np.full(3, float(GREY))
    for colour in colours:
        pixel = np.rint(0.7 * pixel + 0.3 * np.array(colour))
    return pixel.astype(int).tolist()


@given(values=st.lists(st.integers(0, 5), min_size=1, max_size=20), n_objects=st.integers(1, 6))
def test_the_ends_hold_the_extremes_and_share_no_object(values: list[int], n_objects: int) -> None:
    uncertainty = np.array(values, float)
    most, least = extremes(uncertainty, n_objects)
    shown = [*most.tolist(), *least.tolist()]
    assert len(set(shown)) == len(shown) == min(2 * n_objects, len(values))
    assert len(most) - len(least) in {0, 1}
    assert np.all(np.diff(uncertainty[shown]) <= 0)
    rest = np.delete(uncertainty, shown)
    if len(rest):
        assert uncertainty[most].min() >= rest.max()
        assert uncertainty[least].max() <= rest.min()


@pytest.mark.parametrize("size_px", [(64, 64), (50, 81), (10, 12)])
def test_a_mask_is_cut_as_the_iou_is(size_px: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.normal(size=(32, 32)), (9, 9), 2)
    logits = torch.from_numpy((20 * smooth).astype(np.float32))
    expected = torch.nn.functional.interpolate(
        logits[None, None], size_px, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    found = foreground(encode_logits(logits).numpy(), *size_px)
    assert found.shape == size_px
    # The code moves a logit by little: only pixels at the cut may differ.
    assert np.abs(expected[found != (expected > 0)]).max(initial=0) < 0.05
    assert 0.2 < found.mean() < 0.8


@given(
    x=st.integers(0, 79),
    y=st.integers(0, 59),
    width=st.integers(1, 80),
    height=st.integers(1, 60),
)
def test_a_crop_holds_its_box_and_lies_in_the_image(
    x: int, y: int, width: int, height: int
) -> None:
    width, height = min(width, 80 - x), min(height, 60 - y)
    rows, columns = crop((float(x), float(y), float(width), float(height)), 60, 80)
    assert 0 <= rows.start <= y
    assert y + height <= rows.stop <= 60
    assert 0 <= columns.start <= x
    assert x + width <= columns.stop <= 80
    side = max(CONTEXT * max(width, height), MIN_SIDE_PX)
    assert rows.stop - rows.start == min(side, 60)
    assert columns.stop - columns.start == min(side, 80)


def test_a_picture_shows_truth_prediction_and_click() -> None:
    # The crop: rows 15..74, columns 20..79, at four times the size.
    truth, prediction = np.zeros((2, 100, 100), bool)
    truth[30:60, 40:60] = True
    prediction[30:60, 50:90] = True
    grey = np.full((100, 100, 3), GREY, np.uint8)
    box_px = (40.0, 30.0, 20.0, 30.0)
    picture = draw_object(grey, truth, prediction, click_px=(45, 35), box_px=box_px, side_px=240)
    assert picture.shape == (240, 240, 3)

    def at(row: int, column: int) -> list[int]:
        pixels = picture[4 * (row - 15) + 2, 4 * (column - 20) + 2]
        return [int(value) for value in pixels]

    assert at(20, 25) == [GREY] * 3
    assert at(50, 45) == tinted(TRUTH_COLOUR)
    assert at(50, 55) == tinted(TRUTH_COLOUR, PREDICTION_COLOUR)
    assert at(50, 70) == tinted(PREDICTION_COLOUR)
    assert at(35, 45) == list(CLICK_COLOUR)
    # The lines: of the truth outside of it, of the prediction inside, a white one beside each.
    row, left, inside = 4 * (50 - 15), 4 * (40 - 20), 4 * (50 - 20)
    assert picture[row, left - 2 : left].tolist() == [list(WHITE), list(TRUTH_COLOUR)]
    assert picture[row, inside : inside + 2].tolist() == [list(PREDICTION_COLOUR), list(WHITE)]
