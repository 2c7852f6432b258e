"""Chooses the scenes of the page: ``python -m tools.choose_scenes``.

Reads   the weights and heads that ship.
Writes  ``stages/web/scenes.csv``: a scene and a click in it for each advice that there is; README's
        is the first.
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
from tools.answers import iou_of

LEAST_AREA: Final = 0.03
"""Share of the image that the object has."""

ORDER_SEED: Final = 0
"""Seed of the order in which scenes are tried: nobody chose a scene whose advice is right."""

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
    """README's scene first; for each other advice, the first other scene of a random order with it.

    A click is in the centre of an object that is not small, and the clicks a pixel beside it get
    the same advice, so that rounding on another machine does not change it. The ground truth
    decides on README's scene alone.

    Raises
    ------
    SystemExit
        If an advice is given to no click.
    """
    shown = median_scene(predictor)
    by_advice = {shown.advice: shown}
    for number in np.random.default_rng(ORDER_SEED).permutation(N_DEMO_SCENES).tolist():
        if number in {scene.number for scene in by_advice.values()}:
            continue
        for scene, _, _ in _candidates(predictor, number):
            if scene.advice not in by_advice:
                by_advice[scene.advice] = scene
                break
        if by_advice.keys() >= {*ADVISED}:
            return tuple(by_advice.values())
    missing = ", ".join(advice for advice in ADVISED if advice not in by_advice)
    raise SystemExit(f"error: {N_DEMO_SCENES} scenes must show each advice, got none for {missing}")


def median_scene(predictor: UncertainPredictor) -> OfferedScene:
    """The demo's scene whose error is the median: that of the IoU expected of the largest object.

    The error is absolute; of an even number of scenes, the lower median counts. Scenes without a
    click that meets the rules are left out.
    """
    errors: list[tuple[float, OfferedScene]] = []
    for number in range(N_FILES):
        candidates = [*_candidates(predictor, number)]
        if candidates:
            scene, _, error = max(candidates, key=lambda candidate: candidate[1])
            errors.append((error, scene))
    _, shown = sorted(errors, key=lambda pair: pair[0])[(len(errors) - 1) // 2]
    return shown


def _candidates(
    predictor: UncertainPredictor, number: int
) -> Iterator[tuple[OfferedScene, float, float]]:
    """A scene for each click that meets the rules, the object's area, and the expected IoU's error.

    The area is a share of the image; the error is that of the selected mask, absolute.
    """
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
            k, answer = answers[0].selected, answers[0]
            error = abs(float(answer.expected_iou.own[k]) - iou_of(answer.masks[k], mask))
            yield OfferedScene(number, x, y, advised.pop()), float(mask.mean()), error


if __name__ == "__main__":
    main()
