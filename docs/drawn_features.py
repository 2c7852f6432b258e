"""Drawn scenes, and what the mini models say of them: the data that head sets are chosen on.

Kept in files of some scenes each, so that work that was interrupted goes on where it was.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.extraction.plan import decoder_batch
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.ground_truth import measure_objects
from pipeline.heads.inputs import READ
from pipeline.heads.objectives import ModelFeatures
from pipeline.prompts import object_seed
from pipeline.sam.model import Sam
from pipeline.scenes.scene import Role, Scene, draw_scene, scene_seeds
from pipeline.views import default_view
from pipeline.vocabulary import MODELS, TRAIN_PROMPTS
from stages.extraction.models import load_model
from stages.shell.params import read_params
from storage.folders import whole_file

SCENES_A_FILE: Final = 20
SIZE_PX: Final = 256
"""Side of a scene, as in the demo."""

MIN_AREA_PX: Final = 10
"""Smaller objects are skipped, as in the demo."""


@dataclass(frozen=True)
class Scenes:
    """Scenes that are used together."""

    seed: int
    role: Role
    n: int

    def __str__(self) -> str:
        return f"{self.role}-{self.seed}"


@dataclass(frozen=True)
class Drawn:
    """Features of some scenes' objects by model, and the scene of each object."""

    center: Mapping[str, Mapping[str, np.ndarray]]
    """Arrays of ``READ`` under the click ``center``, by model."""
    scores: Mapping[str, ModelFeatures]
    """SamScores and IoUs of ``TRAIN_PROMPTS``, by model."""
    group: np.ndarray


def drawn_features(scenes: Scenes, folder: Path, advance: Callable[[int], None]) -> Drawn:
    """Features of all scenes; those that are not in the folder are made.

    Parameters
    ----------
    advance
        Called with the number of scenes that are there.
    """
    parts = []
    models: dict[str, Sam] = {}
    for start in range(0, scenes.n, SCENES_A_FILE):
        path = folder / f"{scenes}-{start:05}.npz"
        numbers = range(start, min(start + SCENES_A_FILE, scenes.n))
        if not path.exists():
            models = models or _models()
            rows = _extract(scenes, numbers, models)
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as partial, partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **rows)
        with np.load(path) as stored:
            parts.append(dict(stored))
        advance(len(numbers))
    return _drawn({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _drawn(rows: Mapping[str, np.ndarray]) -> Drawn:
    center = TRAIN_PROMPTS.index("center")
    return Drawn(
        {m: {name: rows[f"{m}/{name}"][:, center] for name in READ} for m in MODELS},
        {m: ModelFeatures(rows[f"{m}/sam_score"], rows[f"{m}/iou"]) for m in MODELS},
        rows["group"],
    )


def _models() -> dict[str, Sam]:
    params = read_params(Path(__file__).parents[1] / "params.yaml").extract
    return {model: load_model(params, model) for model in MODELS}


def _extract(scenes: Scenes, numbers: range, models: Mapping[str, Sam]) -> dict[str, np.ndarray]:
    found: dict[str, list[np.ndarray]] = {"group": []}
    for number, request, rgb in _requests(scenes, numbers):
        found["group"].append(np.full(len(request.points), number))
        for name, sam in models.items():
            batch = decoder_batch("auto", device=sam.device.type, mask_size_px=sam.mask_size_px)
            rows = extract_objects(sam, sam.encode(rgb), request, batch=batch, with_masks=False)
            for array in READ:
                found.setdefault(f"{name}/{array}", []).append(rows[array])
    return {name: np.concatenate(blocks) for name, blocks in found.items()}


def _requests(scenes: Scenes, numbers: range) -> Iterator[tuple[int, Request, np.ndarray]]:
    seeds = scene_seeds(scenes.seed, scenes.role, scenes.n)
    for number in numbers:
        scene: Scene = draw_scene(seeds[number], SIZE_PX)
        masks = [mask for mask in scene.masks if mask.sum() >= MIN_AREA_PX]
        name = f"{scenes}-{number}"
        truth = measure_objects(
            (mask, object_seed(0, name, place)) for place, mask in enumerate(masks)
        )
        request = Request(truth.point_px, np.stack(masks), default_view("identity"), TRAIN_PROMPTS)
        yield number, request, scene.rgb
