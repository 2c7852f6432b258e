"""Answers of models to boxes and corrections: what is compared, and the tables of it."""

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.prompts import measure_objects
from pipeline.sam import Sam, build
from pipeline.scenes.scene import draw_scene
from tools.family.answers import Annotated, answer_prompts

SAM = Sam(build("mini", "tiny", seed=5), device=torch.device("cpu"), precision="fp32")


def annotated(seed: int) -> Annotated:
    scene = draw_scene(seed, 64)
    truth = measure_objects((mask, seed) for mask in scene.masks)
    x, y, width, height = truth.box_px.T
    return Annotated(
        rgb=scene.rgb,
        masks=scene.masks,
        point_px=truth.point_px[:, 0].astype(np.float32),
        corner_px=np.stack([x, y, x + width, y + height], axis=1).reshape(-1, 2, 2),
    )


@pytest.fixture(scope="module")
def images() -> list[Annotated]:
    return [annotated(1), annotated(2)]


@pytest.fixture(scope="module")
def found(images: list[Annotated]) -> pd.DataFrame:
    return answer_prompts(SAM, images)


def test_the_first_correction_is_that_of_the_decoder(
    images: list[Annotated], found: pd.DataFrame
) -> None:
    image = images[0]
    embedding, mask = SAM.encode(image.rgb), image.masks[0]
    clicked = SAM.decode(embedding, image.point_px[:1, None])
    chosen = int(clicked.sam_score[0].argmax())
    logits = clicked.logits[:, chosen : chosen + 1].clamp(-32, 32)
    seen = at_image(logits)
    wrong = seen ^ mask
    corrected = []
    for x, y in np.argwhere(wrong)[:, ::-1].tolist():
        answer = SAM.decode(
            embedding,
            np.array([[image.point_px[0], (x, y)]], np.float32),
            labels=np.array([[1, int(mask[y, x])]]),
            mask_input=logits.numpy(),
            multimask_output=False,
        )
        own = at_image(answer.logits)
        corrected.append((own & mask).sum() / (own | mask).sum())
    assert np.abs(np.array(corrected) - found["corrected_1"][0]).min() < 1e-6


def at_image(logits: torch.Tensor) -> np.ndarray:
    raised = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear")
    return (raised[0, 0] > 0).numpy()


def test_a_background_click_is_put_only_where_something_was_taken_for_the_object(
    found: pd.DataFrame,
) -> None:
    columns = ["false_before", "false_after", "false_alone", "is_left"]
    missing = found[columns].isna()
    assert missing.nunique(axis=1).eq(1).all()
    given = ~missing["false_before"]
    assert given.any()
    assert (found["false_before"][given] == found["selected"][given]).all()
    assert (found["selected"][given] < 1).all()
