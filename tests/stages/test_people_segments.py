"""People's segments, compared with each other and with masks, against a slow version."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.mixtures import mask_entropy
from pipeline.masks import decode
from stages.people_segments import click_entropies, read_people
from storage.rle import decode_rle
from tests.fixtures.made_up_objects import object_table, several_persons
from tests.fixtures.signatures import open_eval
from tests.fixtures.split_cells import draw_rows, write_cells

MODELS = ("tiny", "large")
N_OBJECTS, SHARD_OBJECTS, SIZE_PX = 13, 3, 6


def slow_iou(first: np.ndarray | None, second: np.ndarray | None) -> float:
    if first is None or second is None:
        return np.nan
    return float((first & second).sum() / (first | second).sum())


def test_each_mask_and_segment_is_compared_with_each_persons_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {(m, "identity"): draw_rows(i, N_OBJECTS, SIZE_PX) for i, m in enumerate(MODELS)}
    table = several_persons(object_table(N_OBJECTS))
    assert table.person_rle is not None
    monkeypatch.chdir(write_cells(tmp_path, cells, N_OBJECTS, SHARD_OBJECTS, table))
    opened = open_eval("val", MODELS, ["identity"], with_masks=True, shard_objects=SHARD_OBJECTS)
    people = read_people(opened)
    n_absent = 0
    for column, (click, rle) in enumerate(table.segments_of_persons.items()):
        found = people[click]
        for row, texts in enumerate(rle):
            segments = [decode_rle(str(text), 8, 9) if text else None for text in texts]
            for (a, first), (b, second) in product(enumerate(segments), repeat=2):
                expected = slow_iou(first, second)
                assert found.pair_iou[row, a, b] == pytest.approx(expected, nan_ok=True)
            for person, segment in enumerate(segments):
                n_absent += segment is None
                area = np.nan if segment is None else segment.mean()
                assert found.area[row, person] == pytest.approx(area, nan_ok=True)
                for model, proposal in product(MODELS, range(3)):
                    code = cells[model, "identity"].mask_code[row, column, proposal]
                    small = None if segment is None else truth_at_size(segment, SIZE_PX, SIZE_PX)
                    expected = slow_iou(decode(code) > 0.5, small)
                    iou = found.mask_iou[model][row, proposal, person]
                    assert iou == pytest.approx(expected, nan_ok=True)
        np.testing.assert_array_equal(found.hand, table.annotator)
    assert n_absent > 0
    assert [*people] == ["center", "p1"]


def test_clicks_count_alike_or_as_their_objects_share_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = {(m, "identity"): draw_rows(i, N_OBJECTS, SIZE_PX) for i, m in enumerate(MODELS)}
    table = several_persons(object_table(N_OBJECTS))
    monkeypatch.chdir(write_cells(tmp_path, cells, N_OBJECTS, SHARD_OBJECTS, table))
    opened = open_eval("val", MODELS, ["identity"], with_masks=True, shard_objects=SHARD_OBJECTS)
    people = read_people(opened)
    assert people["center"].weight.tolist() == [1] * N_OBJECTS
    for image in np.unique(table.image_index):
        of_image = table.image_index == image
        area = table.area_px[of_image]
        np.testing.assert_allclose(people["p1"].weight[of_image], area / area.sum())
    # As the stage entropy: the mean of proposals by SamScore, and of the models' selected masks.
    for column, click in enumerate(("center", "p1")):
        of_models, entropies = [], click_entropies(opened, click)
        for model in MODELS:
            drawn = cells[model, "identity"]
            p, score = decode(drawn.mask_code[:, column]), drawn.sam_score[:, column]
            share = score / score.sum(axis=1, keepdims=True)
            h_a = mask_entropy((share[..., np.newaxis, np.newaxis] * p).sum(axis=1).clip(max=1))
            found = entropies[model]
            np.testing.assert_allclose(found["h_a"], h_a, atol=1e-6)
            of_models.append(p[np.arange(N_OBJECTS), score.argmax(axis=1)])
        h_theta = mask_entropy(np.mean(of_models, axis=0))
        np.testing.assert_allclose(found["h_theta"], h_theta, atol=1e-6)
