"""The predictor on the meta device: no tensor of the host, and no wait but for its answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
import torch

from pipeline.embeddings import StoredEmbedding
from pipeline.predictor import UncertainPredictor, uncertain_generator, uncertain_predictor
from pipeline.predictor.prompt_sets import PromptSet
from pipeline.sam.model import Precision
from tests.fixtures.meta_device import META, counted_reads, meta_sam
from tests.fixtures.predictors import CHOICE_GAIN, random_heads

RGB: Final = np.zeros((96, 128, 3), np.uint8)

CLICK: Final[dict[str, Any]] = {"point_coords": [[60.0, 40.0]], "point_labels": [1]}

BOX: Final[dict[str, Any]] = {"box": [10.0, 10.0, 90.0, 80.0]}


@contextmanager
def meta_predictor(
    family: str, precision: Precision, kind: str = "ours"
) -> Iterator[UncertainPredictor]:
    """A predictor on the meta device, whose heads choose other masks than the selected ones."""
    with meta_sam(family, precision) as sam, pytest.MonkeyPatch.context() as patch:
        for module in (uncertain_predictor, uncertain_generator):
            patch.setattr(module, "own_precision", lambda _: torch.inference_mode())
        heads = random_heads(kind=kind, n_channels=sam.n_channels, seed=1)
        if kind == "ours":
            always = replace(CHOICE_GAIN, calibrated=(0.5, 0.5))
            heads = replace(heads, choices=(always,))
        predictor = UncertainPredictor(sam, heads)
        predictor.set_image(RGB)
        yield predictor


def stored(predictor: UncertainPredictor) -> StoredEmbedding:
    """The predictor's embedding as a store has it."""
    embedding = predictor._images[0].embedding
    statistics = {name: row.cpu().numpy() for name, row in embedding.statistics.items()}
    return StoredEmbedding(embedding.levels(), embedding.size_px, statistics, "")


def calls(predictor: UncertainPredictor) -> dict[str, tuple[Callable[[], object], int]]:
    """Calls of the predictor, and how often each waits for the device."""
    side = predictor.sam.mask_size_px
    mask = np.zeros((1, side, side), np.float32)
    embedding = stored(predictor)
    return {
        "proposals": (lambda: predictor.predict(**CLICK), 3),
        "logits": (lambda: predictor.predict(**CLICK, return_logits=True), 3),
        "single masks": (lambda: predictor.predict(**CLICK, multimask_output=False), 4),
        "a box and a mask": (lambda: predictor.predict(**BOX, mask_input=mask), 3),
        "uncertainty": (lambda: predictor.predict_uncertainty(**CLICK), 16),
        "uncertainties": (
            lambda: predictor.predict_uncertainties([PromptSet(**CLICK)] * 3, mask_size_px=(9, 9)),
            20,
        ),
        "embedding": (predictor.get_image_embedding, 0),
        "image": (lambda: predictor.set_image(RGB), 0),
        "stored embedding": (lambda: predictor.set_embedding(embedding), 0),
        "batch": (lambda: predictor.set_image_batch([RGB, RGB]), 0),
        "predictions of a batch": (
            lambda: predictor.predict_batch([CLICK["point_coords"]] * 2, [[1]] * 2),
            6,
        ),
    }


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("family", "precision"),
    [("mini", "fp32"), ("mini", "bf16"), ("edgetam", "bf16"), ("sam3", "fp32"), ("sam3.1", "bf16")],
)
def test_calls_wait_for_their_answers_alone(family: str, precision: Precision) -> None:
    with counted_reads() as reads, meta_predictor(family, precision) as predictor:
        counts = {}
        for name, (call, _) in (table := calls(predictor)).items():
            reads.clear()
            call()
            counts[name] = len(reads)
    assert counts == {name: n_reads for name, (_, n_reads) in table.items()}


@pytest.mark.no_cover
def test_patched_masks_and_masks_of_everything_are_made_on_the_device() -> None:
    with counted_reads(), meta_predictor("mini", "fp32", kind="paper") as predictor:
        patching = UncertainPredictor(predictor.sam, predictor.heads, max_hole_area=9.0)
        patching.set_image(RGB)
        patching.predict(**CLICK)
        decoder = uncertain_generator._ProposalDecoder(
            predictor, patching.postprocessing, is_refined=True
        )
        decoder.set_image(RGB)
        points, labels = (
            torch.zeros(5, 1, 2, device=META),
            torch.ones(5, 1, dtype=torch.int32, device=META),
        )
        masks, _, rows = decoder._predict(points, labels)
        refined, _, _ = decoder._predict(points, labels, rows[:, :1], multimask_output=False)
    assert {tensor.device for tensor in (masks, rows, refined)} == {META}
    assert masks.shape == (5, 3, *RGB.shape[:2])
