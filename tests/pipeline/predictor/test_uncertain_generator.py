"""Masks of everything: those of the official generator, judged as if each had been clicked."""

import warnings
from functools import cache
from typing import Any, Final

import numpy as np
import pytest
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base

from pipeline.predictor import UncertainMaskGenerator, UncertainPredictor
from pipeline.predictor.advice import NONE, Costs
from pipeline.predictor.uncertain_generator import REFINED
from pipeline.sam.model import Decoded, Sam
from tests.fixtures.official import patched_components, with_stable_masks
from tests.fixtures.predictors import drawn, mini_with_single_masks, random_heads, trained_mini

LENIENT: Final[dict[str, Any]] = {
    "points_per_side": 6,
    "pred_iou_thresh": 0.3,
    "stability_score_thresh": 0.5,
}
"""Few points, of which many masks are kept."""

COSTS: Final = Costs(click=0.005, larger_model=0.01, person=0.465)
"""Under which random heads advise one thing here and another there."""

Records = list[dict[str, Any]]


def official(
    model: SAM2Base | None = None,
    **options: Any,  # noqa: ANN401 - theirs
) -> SAM2AutomaticMaskGenerator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        generator = SAM2AutomaticMaskGenerator(model or trained_mini().model, **options)
    # Hard-coded for 1024 px in the package.
    generator.predictor._bb_feat_sizes = [(64, 64), (32, 32), (16, 16)]
    return generator


def uncertain(kind: str = "paper", **options: Any) -> UncertainMaskGenerator:  # noqa: ANN401
    predictor = UncertainPredictor(trained_mini(), random_heads(kind=kind, seed=1))
    return UncertainMaskGenerator(predictor, **options)


@cache
def found() -> Records:
    return uncertain("ours", **LENIENT, costs=COSTS).generate(drawn())


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_mode": "coco_rle", "points_per_batch": 7},
        {"crop_n_layers": 1, "points_per_side": 4},
        {"points_per_side": None, "point_grids": [np.random.default_rng(0).random((20, 2))]},
    ],
    ids=lambda options: " ".join(options) or "default",
)
def test_the_records_are_those_of_the_official_generator(options: dict[str, Any]) -> None:
    asked = LENIENT | options
    ours = uncertain(**asked).generate(drawn())
    theirs = official(**asked).generate(drawn())
    compare(ours, theirs)


OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "masks refined": {"use_m2m": True},
    "small regions patched": {"min_mask_region_area": 25},
    "notebook": {
        "points_per_batch": 128,
        "stability_score_offset": 0.7,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
        "min_mask_region_area": 25,
        "use_m2m": True,
        "output_mode": "uncompressed_rle",
    },
}


@pytest.mark.no_cover
@pytest.mark.parametrize("name", OPTIONS)
def test_masks_are_refined_and_patched_as_by_the_official_generator(name: str) -> None:
    asked = LENIENT | OPTIONS[name]
    sam = Sam(mini_with_single_masks(), device=torch.device("cpu"), precision="fp32")
    predictor = UncertainPredictor(sam, random_heads())
    generator = official(with_stable_masks(mini_with_single_masks()), **asked)
    with patched_components():
        theirs = generator.generate(drawn())
    ours = UncertainMaskGenerator(predictor, **asked).generate(drawn())
    compare(ours, theirs)
    is_refined = "use_m2m" in OPTIONS[name]
    assert {REFINED in (record["caution"] or "") for record in ours} == {is_refined}
    assert {record["advice"]["correction"] == NONE for record in ours} == {is_refined}
    plain = UncertainMaskGenerator(predictor, **LENIENT).generate(drawn())
    assert [record["area"] for record in theirs] != [record["area"] for record in plain]


def compare(ours: Records, theirs: Records) -> None:
    assert len(ours) == len(theirs) > 3
    for one, other in zip(ours, theirs, strict=True):
        assert set(one) - set(other) == {
            *("expected_iou", "gap", "direct_gap"),
            *("advice", "is_kept", "unlike_training", "caution", "family", "model"),
        }
        assert (one["family"], one["model"]) == ("mini", "tiny")
        mask, true_mask = one["segmentation"], other["segmentation"]
        if isinstance(mask, np.ndarray):
            # A logit of 0 up to rounding may fall on either side.
            assert (mask != true_mask).mean() < 1e-4
        else:
            assert mask["size"] == true_mask["size"]
        assert one["area"] == pytest.approx(other["area"], abs=5)
        for name in ("predicted_iou", "point_coords", "crop_box"):
            assert np.ravel(one[name]) == pytest.approx(np.ravel(other[name]), abs=1e-5)
        assert one["stability_score"] == pytest.approx(other["stability_score"], abs=1e-3)


def test_every_mask_is_judged_as_if_it_had_been_clicked() -> None:
    predictor = UncertainPredictor(trained_mini(), random_heads(kind="ours", seed=1))
    predictor.set_image(drawn())
    judged, advised = set(), set()
    for record in found():
        asked = predictor.predict_uncertainty(record["point_coords"], [1], costs=COSTS)
        (k,) = np.flatnonzero(np.isclose(asked.sam_score, record["predicted_iou"], atol=1e-5))
        assert (asked.masks[k] != record["segmentation"]).mean() < 1e-3
        expected_iou = asked.expected_iou.by_name
        parts = {"expected_iou": expected_iou, "gap": asked.gap, "direct_gap": asked.direct_gap}
        for part, of_proposals in parts.items():
            expected = {name: values[k] for name, values in of_proposals.items()}
            assert record[part] == pytest.approx(expected, abs=1e-5)
        assert record["is_kept"] is None
        if k == asked.selected:
            advice, gains = record["advice"], dict(asked.advice.gains)
            assert advice["gains"] == pytest.approx(gains, abs=1e-5)
            # Only beyond its cost is a gain worth it.
            net = {name: gain - COSTS.by_correction[name] for name, gain in gains.items()}
            best = max({"keep": 0.0} | net, key=lambda name: ({"keep": 0.0} | net)[name])
            advised.add(best)
            assert (advice["correction"], advice["gain"]) == (best, advice["gains"].get(best, 0))
        judged.add(int(k))
    assert judged == {0, 1, 2}
    assert len(advised) > 1


def test_a_mask_in_a_crop_is_judged_in_its_crop() -> None:
    records = uncertain(**LENIENT | {"crop_n_layers": 1, "points_per_side": 4}).generate(drawn())
    cropped = [one for one in records if one["crop_box"] != [0, 0, *drawn().shape[1::-1]]]
    assert len(cropped) > 3
    for record in cropped[:4]:
        left, top, width, height = map(int, record["crop_box"])
        predictor = UncertainPredictor(trained_mini(), random_heads(seed=1))
        predictor.set_image(drawn()[top : top + height, left : left + width])
        ((x, y),) = record["point_coords"]
        asked = predictor.predict_uncertainty([[x - left, y - top]], [1])
        (k,) = np.flatnonzero(np.isclose(asked.sam_score, record["predicted_iou"], atol=1e-5))
        assert record["expected_iou"]["own"] == pytest.approx(asked.expected_iou.own[k], abs=1e-5)


def test_nothing_is_encoded_or_decoded_for_the_uncertainty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = []
    encode_batch, decode = Sam.encode_batch, Sam.decode

    def spy_encode(sam: Sam, images: list[np.ndarray]) -> Any:  # noqa: ANN401
        done.extend(["encoded"] * len(images))
        return encode_batch(sam, images)

    def spy_decode(sam: Sam, embedding: Any, points: np.ndarray, **asked: Any) -> Decoded:  # noqa: ANN401
        done.extend(["decoded"] * len(points))
        return decode(sam, embedding, points, **asked)

    monkeypatch.setattr(Sam, "encode_batch", spy_encode)
    monkeypatch.setattr(Sam, "decode", spy_decode)
    assert uncertain(**LENIENT).generate(drawn())
    assert done == ["encoded"] + ["decoded"] * 36


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "option must be one of points_per_side, .*, got points"),
        ({"multimask_output": False}, "multimask_output must be True, got False: heads judge"),
    ],
)
def test_options_that_heads_cannot_judge_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        uncertain(**options)
