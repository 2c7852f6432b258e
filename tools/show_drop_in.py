"""Runs the calls of SAM2's notebooks against the official classes and ours: ``make results``.

Both get the same weights of the mini family. The comparison is ours in fp32.

Writes  the part of ``docs/predict.md`` between ``<!-- drop-in -->`` and ``<!-- /drop-in -->``.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from pipeline.predictor import PromptSet, UncertainMaskGenerator, UncertainPredictor
from pipeline.sam.model import Sam
from storage.rle import decode_rle
from tests.fixtures.official import OfficialPredictor, patched_components, with_stable_masks
from tests.fixtures.predictors import drawn, mini_with_single_masks, random_heads, trained_mini
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "predict.md")

SURE: Final = 1e-5
"""A pixel whose official logit is nearer to 0 may fall on either side by rounding."""

ONE_CLICK: Final = np.array([[120.0, 80.0]])
TWO_CLICKS: Final = np.array([[120.0, 80.0], [100.0, 60.0]])
BOX: Final = np.array([40, 30, 200, 150])
BOXES: Final = np.array([[40, 30, 200, 150], [20, 20, 60, 80], [100, 50, 160, 110]])

Prediction = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Masks, SamScores and low-resolution logits."""


def click(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401 - of either class
    """A click, three masks."""
    predictor.set_image(drawn())
    return [predictor.predict(ONE_CLICK, np.array([1]), multimask_output=True, **output)]


def _refined(predictor: Any, second_label: int, **output: Any) -> list[Prediction]:  # noqa: ANN401
    (prediction,) = click(predictor)
    _, scores, logits = prediction
    best = logits[np.argmax(scores)]
    return [
        predictor.predict(
            point_coords=TWO_CLICKS,
            point_labels=np.array([1, second_label]),
            mask_input=best[None, :, :],
            multimask_output=False,
            **output,
        )
    ]


def two_clicks(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """Its best logits as mask_input, with two clicks."""
    return _refined(predictor, 1, **output)


def negative_click(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """The same with a negative click."""
    return _refined(predictor, 0, **output)


def box(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """A box."""
    predictor.set_image(drawn())
    return [predictor.predict(None, None, box=BOX[None, :], multimask_output=False, **output)]


def box_and_click(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """A box with a negative click."""
    predictor.set_image(drawn())
    clicks = {"point_coords": TWO_CLICKS[1:], "point_labels": np.array([0])}
    return [predictor.predict(**clicks, box=BOX, multimask_output=False, **output)]


def many_boxes(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """Many boxes at once."""
    predictor.set_image(drawn())
    return [predictor.predict(None, None, box=BOXES, multimask_output=False, **output)]


def batch_of_clicks(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """Clicks in a batch of images."""
    predictor.set_image_batch([drawn(), drawn(192)])
    clicks = [TWO_CLICKS[:, None], np.array([[[70.0, 90.0]], [[30.0, 40.0]]])]
    labels = [np.array([[1], [1]]), np.array([[1], [1]])]
    predictions = predictor.predict_batch(
        clicks, labels, box_batch=None, multimask_output=True, **output
    )
    return list(zip(*predictions, strict=True))


def batch_of_boxes(predictor: Any, **output: Any) -> list[Prediction]:  # noqa: ANN401
    """Boxes in a batch of images."""
    predictor.set_image_batch([drawn(), drawn(192)])
    predictions = predictor.predict_batch(
        None, None, box_batch=[BOXES, BOXES[:1] / 2], multimask_output=False, **output
    )
    return list(zip(*predictions, strict=True))


CELLS: Final = (
    *(click, two_clicks, negative_click, box, box_and_click, many_boxes),
    *(batch_of_clicks, batch_of_boxes),
)
"""Calls of the notebook about single images."""

NOTEBOOK: Final[Mapping[str, Any]] = {
    "points_per_side": 64,
    "points_per_batch": 128,
    "pred_iou_thresh": 0.7,
    "stability_score_thresh": 0.92,
    "stability_score_offset": 0.7,
    "crop_n_layers": 1,
    "box_nms_thresh": 0.7,
    "crop_n_points_downscale_factor": 2,
    "min_mask_region_area": 25,
    "use_m2m": True,
}
"""Options of the notebook about automatic masks."""

LOWER: Final[Mapping[str, Any]] = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.8}
"""Thresholds that masks of ``mini`` pass: none passes the defaults."""

GENERATORS: Final[Mapping[str, Mapping[str, Any]]] = {
    "The generator, with thresholds that `mini` passes": LOWER,
    # 64 clicks a side of a photograph are 16 of a scene.
    "With all options of the notebook, 16 clicks a side": {**NOTEBOOK, "points_per_side": 16},
    "With `output_mode` uncompressed_rle": {**LOWER, "output_mode": "uncompressed_rle"},
    "With `output_mode` coco_rle": {**LOWER, "output_mode": "coco_rle"},
}


@dataclass(frozen=True)
class Agreement:
    """Differences between the official class and ours."""

    n_masks: int
    score: float
    """Largest difference of two SamScores."""
    logit: float | None
    """Largest difference of two logits; None for generators, which return none."""
    n_pixels: int
    """Pixels whose sides differ."""
    n_wrong: int
    """Pixels whose sides differ although the official logit is ``SURE``."""
    areas: tuple[int, ...] = ()
    """Areas of a generator's masks in pixels."""


def compared(cell: Callable[..., list[Prediction]]) -> Agreement:
    """Run a cell against both predictors."""
    ours = UncertainPredictor(_sam(), random_heads())
    official = OfficialPredictor(with_stable_masks(mini_with_single_masks())).predictor
    answers, references = cell(ours), cell(official)
    upsampled = [logits for logits, _, _ in cell(official, return_logits=True)]
    score, logit, n_pixels, n_wrong = 0.0, 0.0, 0, 0
    for prediction, reference, at_image in zip(answers, references, upsampled, strict=True):
        for array, other in zip(prediction, reference, strict=True):
            assert (array.shape, array.dtype) == (other.shape, other.dtype)
        differs = prediction[0] != reference[0]
        n_pixels += int(differs.sum())
        n_wrong += int((differs & (np.abs(at_image) > SURE)).sum())
        score = max(score, float(np.abs(prediction[1] - reference[1]).max()))
        logit = max(logit, float(np.abs(prediction[2] - reference[2]).max()))
    n_masks = sum(scores.size for _, scores, _ in answers)
    return Agreement(n_masks, score, logit, n_pixels, n_wrong)


def compared_generator(options: Mapping[str, Any]) -> Agreement:
    """Run both generators with some options."""
    predictor = UncertainPredictor(_sam(), random_heads())
    records = UncertainMaskGenerator(predictor, **options).generate(drawn())
    generator, unsure = official_generator(options)
    with patched_components():
        references = generator.generate(drawn())
    assert len(records) == len(references)
    n_pixels = n_wrong = 0
    for record, reference in zip(records, references, strict=True):
        differs = _mask(record) != _mask(reference)
        n_pixels += int(differs.sum())
        n_wrong += int((differs & ~unsure).sum())
        for name in ("bbox", "crop_box", "point_coords"):
            assert np.allclose(record[name], reference[name], atol=1), name
    differences = [
        abs(record["predicted_iou"] - reference["predicted_iou"])
        for record, reference in zip(records, references, strict=True)
    ]
    score = max(differences, default=0.0)
    areas = tuple(record["area"] for record in records)
    return Agreement(len(records), score, None, n_pixels, n_wrong, areas)


def _mask(record: Mapping[str, Any]) -> np.ndarray:
    mask = record["segmentation"]
    if isinstance(mask, np.ndarray):
        return mask
    if isinstance(mask["counts"], str):
        return decode_rle(mask["counts"], *mask["size"])
    height, width = mask["size"]
    sides = np.arange(len(mask["counts"])) % 2 == 1
    return np.repeat(sides, mask["counts"]).reshape(width, height).T


def official_generator(
    options: Mapping[str, Any],
) -> tuple[SAM2AutomaticMaskGenerator, np.ndarray]:
    """The official generator, and an array that gets True where a logit is not ``SURE``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        generator = SAM2AutomaticMaskGenerator(
            with_stable_masks(mini_with_single_masks()), **options
        )
    # The package has the sizes of 1024 px.
    generator.predictor._bb_feat_sizes = [(64, 64), (32, 32), (16, 16)]  # noqa: SLF001
    unsure = np.zeros(drawn().shape[:2], bool)
    process, predict = generator._process_crop, generator.predictor._predict  # noqa: SLF001
    crop = slice(None), slice(None)

    def process_crop(image: np.ndarray, box: Sequence[int], *arguments: Any) -> Any:  # noqa: ANN401
        nonlocal crop
        crop = slice(box[1], box[3]), slice(box[0], box[2])
        return process(image, box, *arguments)

    def predict_logits(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        masks, *scores_and_logits = predict(*arguments, **options)
        unsure[crop] |= (masks.abs() < SURE).flatten(0, 1).any(0).numpy()
        return masks, *scores_and_logits

    generator._process_crop = process_crop  # noqa: SLF001
    generator.predictor._predict = predict_logits  # noqa: SLF001
    return generator, unsure


def _sam() -> Sam:
    return Sam(mini_with_single_masks(), device=torch.device("cpu"), precision="fp32")


N_ANSWERS: Final = 10_000

N_THREADS: Final = 8


def n_different(n_answers: int) -> int:
    """Answers of eight threads with one model that differ from the answers of one thread."""
    mask = np.random.default_rng(0).normal(0, 5, (1, 64, 64)).astype(np.float32)
    prompts = [
        PromptSet([[20 + 12 * i, 90]], [1], mask_input=mask if i % 2 else None) for i in range(16)
    ]
    predictor = UncertainPredictor(trained_mini(), random_heads())
    predictor.set_image(drawn())

    def answer(number: int) -> tuple[bytes, ...]:
        asked = predictor
        if number % 64 == 0:  # some threads encode while others decode
            asked = UncertainPredictor(predictor.sam, predictor.heads)
            asked.set_image(drawn())
        (uncertainty,) = asked.predict_uncertainties([prompts[number % len(prompts)]])
        arrays = uncertainty.masks, uncertainty.logits, uncertainty.expected_iou.own
        return tuple(array.tobytes() for array in arrays)

    expected = [answer(number) for number in range(len(prompts))]
    with ThreadPoolExecutor(N_THREADS) as pool:
        answers = pool.map(answer, range(n_answers))
        return sum(arrays != expected[i % len(prompts)] for i, arrays in enumerate(answers))


def main() -> None:
    """Rewrite the block."""
    torch.set_num_threads(1)
    agreements = {(cell.__doc__ or "").rstrip("."): compared(cell) for cell in CELLS}
    agreements |= {name: compared_generator(options) for name, options in GENERATORS.items()}
    header = ("call", "masks", "SamScores differ by", "logits by", "pixels", "of them sure")
    rows = [
        (
            name,
            str(agreement.n_masks),
            f"{agreement.score:.0e}",
            "–" if agreement.logit is None else f"{agreement.logit:.0e}",
            str(agreement.n_pixels),
            str(agreement.n_wrong),
        )
        for name, agreement in agreements.items()
    ]
    threads = (
        f"Of {N_ANSWERS:,} answers from {N_THREADS} threads with one model, half of them with a "
        f"mask, {n_different(N_ANSWERS) or 'none'} differed from the answer of one thread."
    )
    replace_block(PAGE, "drop-in", f"\n{table(header, rows)}\n\n{threads}\n")


if __name__ == "__main__":
    main()
