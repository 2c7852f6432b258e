"""Compares measures and masks with how several persons divided the same image."""

from collections.abc import Mapping
from typing import Final

TRUTHS: Final[Mapping[str, str]] = {
    "hand": "the annotation at hand, whose click it is",
    "drawn": "a person drawn at random: the mean over all persons",
    "nearest": "the nearest person: the highest of all persons",
    "left_out": "the other persons, without the annotation at hand: their mean",
}
"""Truths of a click that has several, by name: with whose segment a mask is compared."""

TASK_MEASURES: Final = {
    "h_a": ("h_theta", "h_xp"),
    "delta_a_ours": ("delta_theta_ours", "delta_xp_ours"),
    "delta_a_star_ours": ("delta_theta_star_ours", "delta_xp_star_ours"),
}
"""Measures of task ambiguity, each with the same measure of the models and of the clicks."""

PLAN: Final[Mapping[str, tuple[str, ...]]] = {
    "people_rank": tuple(TASK_MEASURES),
    "people_rank_area": tuple(TASK_MEASURES),
    "people_margin": tuple(TASK_MEASURES),
    "people_margin_model": tuple(TASK_MEASURES),
    "people_margin_prompt": tuple(TASK_MEASURES),
    "people_rise": ("",),
    **{f"truth_margin_{name}": ("usam_ours",) for name in TRUTHS},
}
"""Statistics that hypotheses say are above 0, each with the measures that they speak of.

Each combination is tested for every model, and Holm's procedure takes all tests together. The plan
was written down before people's segments were compared with these models on the test photographs.
"""
