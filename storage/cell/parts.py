"""Rows of which some prompt sets come from elsewhere than the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of consecutive objects, of some of their prompt sets.

    Attributes
    ----------
    kinds
        Names of the processors and GPUs that made them, or ``storage.store.marks.UNKNOWN``.
    rows
        Arrays ``(object, prompt, ...)``, by name.
    """

    prompts: tuple[str, ...]
    kinds: frozenset[str]
    rows: Mapping[str, np.ndarray]


def joined(parts: Sequence[Part], prompts: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of the same objects with these prompt sets, in this order, each from its part."""
    if parts[0].prompts == tuple(prompts):
        return dict(parts[0].rows)
    come = [prompt for part in parts for prompt in part.prompts]
    order = [come.index(prompt) for prompt in prompts]
    return {
        name: np.concatenate([part.rows[name] for part in parts], axis=1)[:, order]
        for name in parts[0].rows
    }
