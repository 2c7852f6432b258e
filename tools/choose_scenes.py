"""Chooses the scenes of the page: ``python -m tools.choose_scenes``.

Reads   the weights and heads that ship.
Writes  ``stages/web/scenes.csv``: a scene and a click in it for each advice that there is.
"""

from collections.abc import Iterator
from dataclasses import astuple, fields
from typing import Final

import numpy as np

from pipeline.predictor import PromptSet, UncertainPredictor
from pipeline.predictor.advice import Costs
from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import DEMO_SEED, DEMO_SIZE_PX, N_DEMO_SCENES, draw_scene, scene_seeds
from stages.predictor.loading import load_predictor
from stages.web.page_state import SCENES_FILE, OfferedScene
from storage.folders import whole_file

LEAST_AREA: Final = 0.03
"""Share of the image that the object has."""

ORDER_SEED: Final = 0
"""Seed of the order in which scenes are tried: nobody chose a scene whose advice is right."""

SHOWN: Final = "task"
"""The advice of README's scene, which has to be a file of the demo."""

N_FILES: Final = 13
"""Number of scenes of ``shapes_val`` in the demo, as ``params.yaml`` has it."""

BESIDE_PX: Final = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))

ADVISED: Final = tuple(name for name, cost in Costs().by_correction.items() if cost < 1)
"""What may be advised at the costs by default."""


def main() -> None:
    """Write the file."""
    scenes = choose_scenes(load_predictor("mini", "tiny"))
    rows = [[field.name for field in fields(OfferedScene)], *map(astuple, scenes)]
    lines = (",".join(map(str, row)) for row in rows)
    with whole_file(SCENES_FILE) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(
        *(f"scene {scene.number}, click {scene.x},{scene.y}: {scene.advice}" for scene in scenes),
        sep="\n",
    )


def choose_scenes(predictor: UncertainPredictor) -> tuple[OfferedScene, ...]:
    """For each of ``ADVISED``, the first scene of a random order with a click that gets it.

    A click is in the centre of an object that is not small, and the clicks a pixel beside it get
    the same advice, so that rounding on another machine does not change it. The scene of ``SHOWN``
    is a file of the demo. The ground truth decides nothing: ``tools.show_predictions`` writes
    beside README's scene what it says.

    Raises
    ------
    SystemExit
        If an advice is given to no click.
    """
    by_advice: dict[str, OfferedScene] = {}
    for number in np.random.default_rng(ORDER_SEED).permutation(N_DEMO_SCENES).tolist():
        for scene in _candidates(predictor, number):
            is_file = scene.advice != SHOWN or number < N_FILES
            if scene.advice not in by_advice and is_file:
                by_advice[scene.advice] = scene
                break
        if len(by_advice) == len(ADVISED):
            return tuple(by_advice[advice] for advice in ADVISED)
    missing = ", ".join(advice for advice in ADVISED if advice not in by_advice)
    raise SystemExit(f"error: {N_DEMO_SCENES} scenes must show each advice, got none for {missing}")


def _candidates(predictor: UncertainPredictor, number: int) -> Iterator[OfferedScene]:
    """A scene once for each click that meets the rules."""
    drawn = draw_scene(scene_seeds(DEMO_SEED, "val", number + 1)[-1], DEMO_SIZE_PX)
    predictor.set_image(drawn.rgb)
    for mask in drawn.masks:
        if mask.mean() < LEAST_AREA:
            continue
        x, y = sample_prompts(mask, seed=0)[0].tolist()
        clicks = np.clip([(x + dx, y + dy) for dx, dy in BESIDE_PX], 0, DEMO_SIZE_PX - 1)
        answers = predictor.predict_uncertainties(
            [PromptSet([click], [1]) for click in clicks.tolist()]
        )
        advised = {answer.advice.correction for answer in answers}
        if len(advised) == 1:
            yield OfferedScene(number, x, y, advised.pop())


if __name__ == "__main__":
    main()
