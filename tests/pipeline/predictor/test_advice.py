"""Which correction is advised."""

import pytest

from pipeline.predictor.advice import CORRECTIONS, KEEP, advise
from pipeline.vocabulary import TASKS

EXPECTED = {"model": 0.6, "prompt": 0.85, "task": 0.7}


@pytest.mark.parametrize(
    ("own", "expected", "correction", "gain"),
    [
        (0.9, EXPECTED, KEEP, 0),
        (0.8, EXPECTED, KEEP, 0),
        (0.5, EXPECTED, "prompt", 0.35),
        (0.5, EXPECTED | {"model": 0.9}, "model", 0.4),
        (0.5, {"task": 0.8}, "task", 0.3),
        (0.5, {"model": 0.79, "prompt": 0.6}, "segmentation", 0.5),
        (0.5, {"prompt": 0.4}, "segmentation", 0.5),
        (0.5, {}, "segmentation", 0.5),
    ],
)
def test_the_mask_is_kept_if_it_is_good_and_sent_to_a_person_if_nothing_else_makes_it_good(
    own: float, expected: dict[str, float], correction: str, gain: float
) -> None:
    advice = advise(own, expected, good_iou=0.8)
    assert advice.correction == correction
    assert advice.gain == pytest.approx(gain)
    assert advice.expected_iou == pytest.approx(own + gain)
    assert advice.words == CORRECTIONS[correction]


def test_every_correction_of_a_task_can_be_advised() -> None:
    assert set(CORRECTIONS) == {KEEP, *TASKS}
