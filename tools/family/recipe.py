"""How the mini models are trained: for each family, the recipe of its shipped weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Final, Literal

from pipeline.sam.families import MINI_IMAGE_SIZE_PX
from tools.family.batches import Batch, draw_batch
from tools.family.images import BatchPlan, DrawImages, draw_cartoons, draw_scenes
from tools.family.loss import Criterion
from tools.family.photographs import Photograph, draw_photographs
from tools.family.prompts import CorrectionPlan

Style = Literal["cartoon", "scene", "varied photograph", "photograph"]
"""Scenes with each object in one plain colour, or as drawn; photographs with made-up objects, and
some scenes; or photographs alone."""


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
    n_objects: int = 8
    """Prompt sets in each image."""
    corrected: CorrectionPlan | None = None
    """Which of these are corrected; if none is, three proposals learn from foreground clicks."""
    gain_weight: float = 0.0
    """Weight of what a correction gains, relative to dice."""
    is_framed: bool = False
    """Whether tiles have places in an image of the scenes' size: then what is learned about places
    holds there."""
    is_encoder_frozen: bool = False
    is_anew: bool = False
    """Whether it begins with the weights as they are published, in half precision, and with an
    optimizer that remembers nothing: so it may begin with published weights."""
    is_made_versatile: bool = False
    """Whether these weights know only proposals of foreground clicks, and learn the rest."""
    n_warm_up: int = 0
    """Steps in which the learning rate rises from 0."""


@dataclass(frozen=True)
class Recipe:
    """Everything the weights depend on, apart from the code and the machine's arithmetic."""

    batches: BatchPlan
    phases: tuple[Phase, ...]
    family: str = "mini"
    starts: Mapping[str, str] | None = None
    """By model, the model of ``mini`` whose published weights it grows from; None if all begin with
    random weights."""
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


def draw_step(recipe: Recipe, step: int, photographs: Sequence[Photograph] = ()) -> Batch:
    """Batch of a step."""
    phase, _ = recipe.at(step)
    styles: dict[Style, DrawImages] = {
        "cartoon": draw_cartoons,
        "scene": draw_scenes,
        "varied photograph": partial(draw_photographs, photographs, is_varied=True),
        "photograph": partial(draw_photographs, photographs, is_varied=False),
    }
    return draw_batch(
        recipe.batches,
        step,
        size_px=phase.image_size_px,
        draw_images=styles[phase.style],
        n_objects=phase.n_objects,
        corrected=phase.corrected,
        is_framed=phase.is_framed,
    )


def learning_rate(phase: Phase, step: int) -> float:
    """Learning rate of a step of a phase."""
    first, last = phase.rate
    rate = first + (last - first) * step / phase.n_steps
    return rate * min(1.0, (step + 1) / max(phase.n_warm_up, 1))


ONE: Final = CorrectionPlan(1)

RECIPE: Final = Recipe(
    batches=BatchPlan(seed=0, scene_size_px=MINI_IMAGE_SIZE_PX, n_images=8),
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
        Phase("scene", 4000, 128, "scene", "overlap", (1e-3, 1e-3)),
        Phase("full", 1000, 256, "scene", "overlap", (1e-3, 0.0)),
        Phase(
            "prompts",
            1000,
            128,
            "scene",
            "overlap",
            (6e-4, 1e-4),
            n_objects=3,
            corrected=CorrectionPlan(2),
            is_framed=True,
            is_anew=True,
            is_made_versatile=True,
            n_warm_up=50,
        ),
        Phase("whole", 500, 256, "scene", "overlap", (3e-4, 0.0), n_objects=4, corrected=ONE),
        Phase(
            "practice",
            2500,
            128,
            "scene",
            "overlap",
            (6e-4, 3e-4),
            n_objects=4,
            corrected=ONE,
            is_framed=True,
            n_warm_up=50,
        ),
        Phase("final", 1200, 256, "scene", "overlap", (3e-4, 0.0), n_objects=4, corrected=ONE),
        Phase(
            "gain",
            1800,
            256,
            "scene",
            "overlap",
            (6e-4, 0.0),
            n_objects=3,
            corrected=CorrectionPlan(2, mask_share=1.0, central_share=0.8),
            gain_weight=2.0,
            is_encoder_frozen=True,
            is_anew=True,
            n_warm_up=30,
        ),
    ),
)
"""The recipe of ``mini``."""

PHOTO_RECIPE: Final = Recipe(
    batches=BatchPlan(seed=1, scene_size_px=MINI_IMAGE_SIZE_PX, n_images=8),
    phases=(
        Phase(
            "tiles",
            2000,
            128,
            "varied photograph",
            "overlap",
            (1e-3, 7e-4),
            is_framed=True,
            n_warm_up=50,
        ),
        # The rate falls as if the phase had 450 steps.
        Phase(
            "photographs",
            350,
            256,
            "varied photograph",
            "overlap",
            (7e-4, 7e-4 - 1.5e-4 * 350 / 450),
        ),
        Phase(
            "corrected tiles",
            500,
            128,
            "varied photograph",
            "overlap",
            (6e-4, 4e-4),
            n_objects=4,
            corrected=ONE,
            is_framed=True,
        ),
        Phase(
            "corrected photographs",
            300,
            256,
            "varied photograph",
            "overlap",
            (4e-4, 0.0),
            n_objects=4,
            corrected=CorrectionPlan(1, mask_share=0.8, central_share=0.8),
            gain_weight=0.5,
        ),
        Phase("whole photographs", 900, 256, "photograph", "overlap", (1e-3, 1e-4), n_warm_up=30),
        Phase(
            "corrected whole photographs",
            250,
            256,
            "photograph",
            "overlap",
            (2e-4, 0.0),
            n_objects=4,
            corrected=CorrectionPlan(1, mask_share=0.8, central_share=0.8),
            gain_weight=0.5,
        ),
        # Its rate is higher than that of the phase before, which did not learn boxes anew.
        Phase(
            "prompted whole photographs",
            400,
            256,
            "photograph",
            "overlap",
            (5e-4, 0.0),
            n_objects=4,
            corrected=CorrectionPlan(1, mask_share=0.8, central_share=0.8),
            gain_weight=0.5,
            n_warm_up=30,
        ),
    ),
    family="mini-photos",
    starts={"tiny": "small", "small": "base_plus", "base_plus": "small", "large": "base_plus"},
)
"""The recipe of ``mini-photos``."""

RECIPES: Final = {recipe.family: recipe for recipe in (RECIPE, PHOTO_RECIPE)}
