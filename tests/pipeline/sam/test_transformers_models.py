"""Models of ``transformers`` here are what they are there: images, prompts, masks and tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.sam.building import ArchitectureError, fit_weights, load_weights
from pipeline.sam.model import Decoded, Precision, Sam
from tests.fixtures.predictors import drawn
from tests.fixtures.transformers_models import CONFIGS, SAM3_FILE, ours, written

ARRAYS: Final = ("logits", "sam_score", "iou_token", "mask_token", "object_score")

CPU: Final = torch.device("cpu")

SIZE_PX: Final = np.array(drawn().shape[1::-1])

Prompts = dict[str, Any]
"""Arguments of ``Sam.decode`` but the embedding."""


def clicks(n_sets: int, n_clicks: int = 1) -> np.ndarray:
    drawn_px = np.random.default_rng(n_clicks).uniform(0, 1, (n_sets, n_clicks, 2)) * SIZE_PX
    return drawn_px.astype(np.float32)


def labelled(n_sets: int, *labels: int) -> Prompts:
    """Clicks of each label, all with the same."""
    return {"points": clicks(n_sets, len(labels)), "labels": np.tile(labels, (n_sets, 1))}


PROMPTS: Final[dict[str, Prompts]] = {
    "one click": {"points": clicks(1)},
    "many clicks": {"points": clicks(5, 4)},
    "negative clicks": labelled(3, 1, 0, 0),
    "boxes": labelled(3, 2, 3),
    "single masks": {"points": clicks(4), "multimask_output": False},
    "a mask": {"points": clicks(2, 2), "mask_input": np.float32(0)},
}


@pytest.fixture(scope="module", params=CONFIGS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreTrainedModel, Sam]:
    """A model of ``transformers``, and ours with the weights of its file."""
    folder = tmp_path_factory.mktemp("weights")
    theirs = written(request.param, folder)
    model = ours(theirs.config)
    path = str(folder / "model.safetensors")
    fit_weights(model, load_weights(path), source=path)
    return theirs, Sam(model, device=CPU, precision="fp32")


def said(theirs: PreTrainedModel, sam: Sam, prompts: Prompts, precision: Precision) -> Decoded:
    """What ``transformers`` says of the drawn scene as ours resizes it."""
    tokens: list[Tensor] = []
    transformer = theirs.mask_decoder.transformer
    hook = transformer.register_forward_hook(lambda *a: tokens.append(a[2][0][0]))
    is_bf16 = precision == "bf16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        levels = theirs.get_image_embeddings(sam.square(drawn()).pixels)
        if theirs.config.model_type == "sam3_tracker":  # as Meta's predictor, see with_encoder
            levels[-1] = levels[-1] + theirs.no_memory_embedding.view(1, -1, 1, 1)
        out = theirs(image_embeddings=levels, **_as_theirs(prompts, sam))
    hook.remove()
    (kept,) = tokens
    return Decoded(
        out.pred_masks[0].float(),
        out.iou_scores[0].float(),
        kept[:, 1].float(),
        kept[:, 2:6].float(),
        out.object_score_logits[0, :, 0].float(),
    )


def _as_theirs(prompts: Prompts, sam: Sam) -> dict[str, Any]:
    points = torch.from_numpy(prompts["points"] / SIZE_PX * sam.image_size_px).float()[None]
    labels = torch.from_numpy(prompts.get("labels", np.ones(points.shape[1:3])))[None].int()
    found: dict[str, Any] = {"multimask_output": prompts.get("multimask_output", True)}
    if 2 in labels:
        return found | {"input_boxes": points.flatten(2)}
    if "mask_input" in prompts:
        found["input_masks"] = torch.from_numpy(prompts["mask_input"])
    return found | {"input_points": points, "input_labels": labels}


def sized(prompts: Prompts, sam: Sam) -> Prompts:
    """Prompts with a mask of the model's size, if with one."""
    if "mask_input" not in prompts:
        return prompts
    shape = (1, 1, sam.mask_size_px, sam.mask_size_px)
    return prompts | {"mask_input": np.random.default_rng(0).normal(0, 5, shape).astype("f4")}


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_every_array_is_that_of_transformers(
    prompts: Prompts, both: tuple[PreTrainedModel, Sam]
) -> None:
    theirs, sam = both
    prompts = sized(prompts, sam)
    expected = said(theirs, sam, prompts, "fp32")
    found = sam.decode(sam.encode(drawn()), **prompts)
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        allowed = 1e-5 * max(1, float(other.abs().max()))
        torch.testing.assert_close(one, other, rtol=0, atol=allowed, msg=lambda m, n=name: n + m)


def test_bf16_is_no_farther_from_fp32_than_that_of_transformers(
    both: tuple[PreTrainedModel, Sam],
) -> None:
    theirs, sam = both
    half = Sam(sam.model, device=CPU, precision="bf16")
    answers: dict[str, Callable[[Prompts], Decoded]] = {
        "ours": lambda prompts: half.decode(half.encode(drawn()), **prompts),
        "theirs": lambda prompts: said(theirs, sam, prompts, "bf16"),
    }
    errors = {name: np.zeros(len(ARRAYS)) for name in answers}
    for prompts in (sized(prompts, sam) for prompts in PROMPTS.values()):
        exact = said(theirs, sam, prompts, "fp32")
        for name, answer in answers.items():
            errors[name] += [rms(getattr(answer(prompts), a) - getattr(exact, a)) for a in ARRAYS]
    print(errors, errors["ours"]/errors["theirs"])
    assert (errors["ours"] <= errors["theirs"]).all()
    assert (errors["ours"] > 0).all()


def rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
