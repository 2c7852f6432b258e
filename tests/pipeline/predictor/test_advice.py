"""Which correction is advised."""

import math

import pytest

from pipeline.predictor.advice import CORRECTIONS, KEEP, Costs, advise
from pipeline.vocabulary import TASKS

GAINS = {"model": 0.1, "prompt": 0.2, "task": 0.06}


@pytest.mark.parametrize(
    ("own", "gains", "costs", "correction", "gain"),
    [
        (0.7, GAINS, Costs(click=0.05), "prompt", 0.2),
        (0.7, GAINS, Costs(), "task", 0.06),
        (0.7, GAINS, Costs(click=0.16), "task", 0.06),
        (0.7, GAINS, Costs(click=0.16, larger_model=0.0), "model", 0.1),
        (0.5, GAINS, Costs(person=0.3), "segmentation", 0.5),
        (0.5, GAINS, Costs(click=0.05, person=0.4), "prompt", 0.2),
        (0.9, {"prompt": 0.04, "model": 0.05, "task": -0.1}, Costs(click=0.05), KEEP, 0),
        (0.9, {"prompt": 0.3}, Costs(click=0.05, person=1.0), "prompt", 0.1),
        (0.9, {"prompt": 0.3}, Costs(click=0.1, person=1.0), KEEP, 0),
        (0.5, {}, Costs(), "segmentation", 0.5),
        (0.5, {}, Costs(person=0.5), KEEP, 0),
    ],
)
def test_what_is_expected_to_gain_most_beyond_its_cost_is_advised(
    own: float, gains: dict[str, float], costs: Costs, correction: str, gain: float
) -> None:
    advice = advise(own, gains, costs)
    assert advice.correction == correction
    assert advice.gain == pytest.approx(gain)
    assert advice.expected_iou == pytest.approx(own + gain)
    assert advice.words == CORRECTIONS[correction]


def test_the_gain_of_every_correction_is_told_up_to_the_true_mask() -> None:
    advice = advise(0.75, GAINS | {"prompt": 0.3}, Costs())
    assert advice.gains == {"model": 0.1, "prompt": 0.25, "task": 0.06, "segmentation": 0.25}


@pytest.mark.parametrize("cost", [-0.01, 1.01, math.nan])
def test_a_cost_is_a_share_of_the_iou(cost: float) -> None:
    with pytest.raises(
        ValueError, match=f"cost of larger model must be a number from 0 to 1, got {cost:g}"
    ):
        Costs(larger_model=cost)


def test_every_correction_of_a_task_can_be_advised() -> None:
    assert set(CORRECTIONS) == {KEEP, *TASKS}
    assert set(Costs().by_correction) == set(CORRECTIONS)
