"""What the mini models learn from: drawn scenes and clicks, a batch a step."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.prompts import sample_prompts
from pipeline.scenes import Scene, draw_scene, scene_seeds
from pipeline.seeds import derive_seed
from pipeline.vocabulary import SINGLE_CLICKS

SINGLE_CLICK_SHARE: Final = 0.5
"""Steps with one click an object; the others have two to eight."""

CENTER_SHARE: Final = 0.5
"""Of single clicks, those that are ``center``."""


@dataclass(frozen=True)
class BatchPlan:
    """What fixes a batch, with its step."""

    seed: int
    n_scenes: int
    n_objects: int
    """Objects clicked in each scene; a scene of fewer has some clicked more than once."""


@dataclass(frozen=True)
class Batch:
    """Scenes, and the objects clicked in them: rows of one scene are contiguous."""

    rgb: UInt8[np.ndarray, "scene size size 3"]
    point_px: Float32[np.ndarray, "row click 2"]
    mask: UInt8[np.ndarray, "row size size"]
    """0 or 1."""


def draw_batch(plan: BatchPlan, step: int, size_px: int) -> Batch:
    """Draw the batch of a step: of ``plan``, ``step`` and ``size_px`` alone.

    All prompt sets of a batch have the same number of clicks, so that one decoder call takes them.
    No step shares a scene with another.
    """
    first = step * plan.n_scenes
    seeds = scene_seeds(plan.seed, "family", first + plan.n_scenes)[first:]
    generator = np.random.default_rng(derive_seed(plan.seed, "batch", step))
    n_clicks = _draw_n_clicks(generator)
    scenes = [draw_scene(seed, size_px) for seed in seeds]
    points, masks = [], []
    for scene in scenes:
        for number in _draw_objects(generator, scene, plan.n_objects):
            points.append(_draw_clicks(generator, scene.masks[number], n_clicks))
            masks.append(scene.masks[number])
    return Batch(
        rgb=np.stack([scene.rgb for scene in scenes]),
        point_px=np.stack(points),
        mask=np.stack(masks).astype(np.uint8),
    )


def _draw_n_clicks(generator: np.random.Generator) -> int:
    if generator.uniform() < SINGLE_CLICK_SHARE:
        return 1
    return int(generator.integers(2, len(SINGLE_CLICKS), endpoint=True))


def _draw_objects(generator: np.random.Generator, scene: Scene, n_objects: int) -> list[int]:
    """Objects of the scene in random order, from the start again where there are too few."""
    order = generator.permutation(len(scene.masks))
    return [int(number) for number in np.resize(order, n_objects)]


def _draw_clicks(
    generator: np.random.Generator, mask: np.ndarray, n_clicks: int
) -> Float32[np.ndarray, "click 2"]:
    clicks = sample_prompts(mask, int(generator.integers(2**63))).astype(np.float32)
    if n_clicks == 1 and generator.uniform() >= CENTER_SHARE:
        return clicks[1:2]
    return clicks[:n_clicks]
