"""Which objects the gallery shows."""

import numpy as np
import pandas as pd
import pytest

from pipeline.gallery.choice import by_judged, gallery_rows, ranking_columns
from pipeline.scoring.measures import GALLERY_MEASURES
from pipeline.scoring.tasks import JUDGED_BY_PROTOCOL
from pipeline.vocabulary import TASKS

N_OBJECTS = 9


def objects(*models: str, train_splits: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table of objects drawn at random, in the form of ``objects.csv``."""
    rng = np.random.default_rng(len(train_splits))
    names = ["best_iou", "selected_iou", "refined_iou", "refined_selected_iou", "sam_score"]
    names += [untrained for *_, untrained in GALLERY_MEASURES.values()]
    names += [
        f"{name}@{split}"
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
    rows = gallery_rows(by_judged([table]), 2)
    assert rows["task"].unique().tolist() == list(TASKS)
    of_task = rows[(rows["protocol"] == protocol) & (rows["task"] == task)]
    *trained, untrained = GALLERY_MEASURES[task]
    assert of_task["measure"].unique().tolist() == (trained if train_splits else [untrained])
    measure = trained[place] if train_splits else untrained
    shown = of_task[of_task["measure"] == measure]
    assert shown["end"].tolist() == ["most", "most", "least", "least"]
    assert shown["rank"].tolist() == [1, 2, N_OBJECTS - 1, N_OBJECTS]
    value = of_model[f"{measure}@a" if train_splits else measure]
    uncertainty = 1 - value if train_splits and task == "segmentation" else value
    in_order = uncertainty.sort_values(ascending=False)
    assert shown["row"].tolist() == [*in_order.index[:2], *in_order.index[-2:]]
    assert shown["uncertainty"].tolist() == [*in_order[:2], *in_order[-2:]]
    assert set(shown["train_split"]) == {"a" if train_splits else ""}
    assert set(shown["model"]) == {model}
    assert shown["object_id"].tolist() == of_model["object_id"][shown["row"]].tolist()
    assert shown["iou"].tolist() == of_model[before][shown["row"]].tolist()
    corrected = by_model[after[0]][after[1]] if after else pd.Series(1.0, index=of_model.index)
    assert shown["corrected_iou"].tolist() == corrected[shown["row"]].tolist()


def test_without_two_sizes_there_is_no_model_task() -> None:
    assert gallery_rows(by_judged([objects("small")]), 2)["task"].unique().tolist() == list(
        TASKS[1:]
    )
