"""How the mini models are trained: one recipe for all four, with the numbers of the shipped run."""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from pipeline.sam.families import MINI_IMAGE_SIZE_PX
from tools.family.batches import BatchPlan, Style
from tools.family.loss import Criterion
from tools.family.prompts import Correcting


@dataclass(frozen=True)
class Phase:
    """A stretch of steps under the same rules."""

    name: str
    n_steps: int
    image_size_px: int
    style: Style
    criterion: Criterion
    rate: tuple[float, float]
    """At the start and the end, linear in between. Layers that read a trunk get a share of it."""
    correcting: Correcting | None = None
    """If there is none, three proposals learn from foreground clicks."""
    is_encoder_frozen: bool = False
    n_warm_up: int = 0
    """Steps in which the learning rate rises from 0."""


@dataclass(frozen=True)
class Recipe:
    """Everything the weights depend on, apart from the code and the machine's arithmetic."""

    batches: BatchPlan
    phases: tuple[Phase, ...]
    decoder_seed: int = 0
    """Seed of the weights outside the image encoder, which all members start with."""
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0

    @property
    def n_steps(self) -> int:
        """Number of steps in all phases."""
        return sum(phase.n_steps for phase in self.phases)

    def at(self, step: int) -> tuple[Phase, int]:
        """Phase of a step, and the step's number in it.

        Raises
        ------
        ValueError
            If the recipe has no such step.
        """
        within = step
        for phase in self.phases:
            if 0 <= within < phase.n_steps:
                return phase, within
            within -= phase.n_steps
        raise ValueError(f"step must be in 0..{self.n_steps - 1}, got {step}")

    def up_to(self, step: int) -> "Recipe":
        """The recipe without the phases that begin at a step or later."""
        ends = accumulate(phase.n_steps for phase in self.phases)
        begun = [
            phase
            for phase, end in zip(self.phases, ends, strict=True)
            if end - phase.n_steps < step
        ]
        return replace(self, phases=tuple(begun))


def learning_rate(phase: Phase, step: int) -> float:
    """Learning rate of a step of a phase."""
    first, last = phase.rate
    rate = first + (last - first) * step / phase.n_steps
    return rate * min(1.0, (step + 1) / max(phase.n_warm_up, 1))


RECIPE: Final = Recipe(
    batches=BatchPlan(seed=0, scene_size_px=MINI_IMAGE_SIZE_PX, n_images=8, n_objects=8),
    phases=(
        Phase(
            "place",
            200,
            128,
            "cartoon",
            "balanced",
            (1e-3, 1e-3),
            is_encoder_frozen=True,
            n_warm_up=20,
        ),
        Phase("outline", 1000, 128, "cartoon", "overlap", (1e-3, 1e-3)),
        Phase("scene", 1000, 128, "scene", "overlap", (1e-3, 1e-3)),
        Phase("prompts", 2800, 128, "scene", "overlap", (1e-3, 1e-3), Correcting(4, 2)),
        Phase("full", 900, 256, "scene", "overlap", (1e-3, 0.0), Correcting(4, 2)),
    ),
)
"""The recipe of the shipped weights."""
