"""Prompts that no uncertainty is told of, though SAM2 answers them, and those that just pass."""

from typing import Any, Final

import numpy as np
import pytest

from pipeline.predictor import PromptSet
from pipeline.prompt_kinds import PromptError
from tests.fixtures.predictors import drawn, mini_predictor

Asked = dict[str, Any]

CLICK: Final[Asked] = {"point_coords": [[120, 80]], "point_labels": [1]}
BESIDE: Final[Asked] = {"point_coords": [[30, 150]], "point_labels": [0]}
EARLIER: Final[Asked] = {"mask_input": np.full((1, 64, 64), 2.0)}

NO_OBJECT: Final = r"prompt must have a click on the object, a box or a mask, got "
NO_BOX: Final = "box must be LEFT,TOP,RIGHT,BOTTOM, wider and higher than 0 px, got "
BEYOND: Final = "box must be LEFT,TOP,RIGHT,BOTTOM in the image of 256 x 192 px, got "


def click(x: float, y: float, label: float = 1) -> Asked:
    return {"point_coords": [[9, 9], [x, y]], "point_labels": [1, label]}


REFUSED: Final[dict[str, tuple[Asked, str]]] = {
    "nothing": ({}, NO_OBJECT + "none"),
    "a click beside it alone": (BESIDE, NO_OBJECT + "clicks beside it alone"),
    "a box with its sides reversed": ({"box": [200, 30, 40, 150]}, NO_BOX + "200,30,40,150"),
    "a flat box, with a click": (CLICK | {"box": [40, 30, 90, 30]}, NO_BOX + "40,30,90,30"),
    "a box too wide": ({"box": [40, 30, 257.5, 150]}, BEYOND + "40,30,257.5"),
    "a click on the right edge": (
        click(256, 9),
        "click must lie in the .* 256 x 192 px, got 256,9",
    ),
    "a point that fills up": (click(-1, -1, -1), "must be 1 on the object or 0 beside it, got -1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_head_can_judge_is_refused_in_the_same_words_by_all(name: str) -> None:
    asked, words = REFUSED[name]
    predictor, both = mini_predictor(), [PromptSet(**CLICK), PromptSet(**asked)]
    for ask in (
        lambda: predictor.predict_uncertainty(**asked),
        lambda: predictor.predict_uncertainties(both),
    ):
        with pytest.raises(PromptError, match=words):
            ask()


@pytest.mark.parametrize("name", REFUSED)
def test_what_takes_the_place_of_sam2_answers_what_sam2_answers(name: str) -> None:
    masks, _, _ = mini_predictor().predict(**REFUSED[name][0])
    assert masks.shape == (3, *drawn().shape[:2])


@pytest.mark.parametrize(
    "asked",
    [
        {"box": [-1, -1, 257, 193]},
        BESIDE | {"box": [40, 30, 200, 150]},
        EARLIER,
        click(255.9999999, 191.9999999, 0),
        {"point_coords": np.array([[[0.0, 0]]]), "point_labels": np.array([[1.0]])},
    ],
    ids=str,
)
def test_what_is_about_an_object_in_the_image_is_answered(asked: Asked) -> None:
    assert mini_predictor().predict_uncertainty(**asked).masks.shape == (3, 192, 256)
