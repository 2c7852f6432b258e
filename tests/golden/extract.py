"""A golden scene, and its features and masks by stage ``extract`` with the mini models."""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image

from pipeline.prompts import measure_objects
from pipeline.scenes.scene import draw_scene
from pipeline.vocabulary import MASK_STATISTICS, PROMPTS
from stages import extract
from storage.checkpoints.weights import checkpoint
from storage.folders import sha256_file
from storage.paths import features_path, masks_path, objects_path
from storage.rle import encode_rle
from storage.split.object_table import ObjectTable, write_objects
from storage.store import opening
from tests.fixtures.mini import MODELS
from tests.fixtures.settings import view_settings, write_settings
from tests.fixtures.signatures import EXTRACT
from tests.golden.golden import Arrays, Golden, off_by

CELLS: Final = (
    ("tiny", "identity"),
    ("tiny", "jpeg10"),
    ("tiny", "vflip"),
    ("tiny", "gnoise"),
    ("large", "identity"),
    ("large", "jpeg10"),
)
"""Models and views; views of each kind, because flips and seeded noise change numbers."""

IDENTITY_ARRAYS: Final = ("iou_at_cut", "stability_score")
"""Features of the view ``identity`` alone."""

COLUMNS: Final = [PROMPTS.index(prompt) for prompt in ("center", "p3", "refined")]
CODE_COLUMN: Final = PROMPTS.index("p3")
"""Prompt set whose masks are in the file, which would be large with all masks."""

SIZE_PX: Final = 288
STRIP: Final = slice(96, 168)
"""Rows of the scene: the models shrink the width of this strip and enlarge its height."""

N_OBJECTS: Final = 3

ATOL: Final = {
    "sam_score": 2e-4,
    "object_score": 2e-4,
    "iou": 2e-3,
    **dict.fromkeys(IDENTITY_ARRAYS, 2e-3),
    **dict.fromkeys(MASK_STATISTICS, 2e-4),
}
RTOL: Final = dict.fromkeys(("iou_token", "mask_token", "encoder_mean", "encoder_std"), 1e-3)
"""Tolerances as shares of the largest element. Other instruction sets and numbers of threads were
off by 6e-7 at most.
"""

CODE_ATOL: Final = 1
CODE_SHARE: Final = 1e-3
"""Share of a cell's pixels that may be further off."""


def draw_inputs() -> dict[str, np.ndarray]:
    """An image, ground truth and clicks.

    The file holds them, so that neither drawing nor the sampling of clicks changes a number.
    """
    scene = draw_scene(7, SIZE_PX)
    masks = scene.masks[:, STRIP]
    largest = np.argsort(masks.sum((1, 2)))[::-1][:N_OBJECTS]
    truth = measure_objects((masks[i], int(i)) for i in largest)
    return {"rgb": scene.rgb[STRIP], "masks": masks[largest], "point_px": truth.point_px}


def compute(inputs: Arrays) -> dict[str, np.ndarray]:
    """Arrays that the stage publishes, named ``<model>/<view>/<array>``."""
    computed: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_split(inputs)
        for model, view in CELLS:
            cell = ("golden", model, view)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["extract", *cell])
                extract.main()
            features = opening.open_features(features_path(*cell)).isel(prompt=COLUMNS)
            for name in (*ATOL, *RTOL):
                if name in IDENTITY_ARRAYS and view != "identity":
                    assert name not in features
                    continue
                computed[f"{model}/{view}/{name}"] = features[name].to_numpy()
            codes = opening.open_masks(masks_path(*cell))["mask_code"]
            computed[f"{model}/{view}/mask_code"] = codes[:, CODE_COLUMN].to_numpy()
    return computed


def _compare(name: str, golden: np.ndarray, values: np.ndarray) -> str | None:
    kind = name.rpartition("/")[2]
    if kind != "mask_code":
        return off_by(golden, values, ATOL.get(kind) or RTOL[kind] * float(np.abs(golden).max()))
    share = (np.abs(values.astype(int) - golden.astype(int)) > CODE_ATOL).mean()
    is_off = share > CODE_SHARE
    return f"{share:.2%} of the pixels are off by more than {CODE_ATOL} code" if is_off else None


def weights() -> dict[str, str]:
    models = sorted({model for model, _ in CELLS})
    return {f"weights_{model}": str(checkpoint("mini", model).sha256) for model in models}


def write_split(inputs: Arrays, *, embedded: Sequence[str] = ()) -> None:
    """Write the image, the objects and the settings; ``embedded`` are models of the stage embed."""
    masks, (height, width) = inputs["masks"], inputs["rgb"].shape[:2]
    Image.fromarray(inputs["rgb"]).save("scene.png")
    truth = measure_objects((mask, 0) for mask in masks)
    table = ObjectTable(
        file=np.array(["scene.png"], object),
        height_px=np.array([height], np.int32),
        width_px=np.array([width], np.int32),
        image_sha256=np.array([sha256_file(Path("scene.png"))], object),
        image_index=np.zeros(len(masks), np.int32),
        object_id=np.arange(len(masks)),
        area_px=truth.area_px,
        box_px=truth.box_px,
        mask_rle=np.array([encode_rle(mask) for mask in masks], object),
        point_px=inputs["point_px"],
    )
    write_objects(objects_path("golden"), table, {"split": "golden"})
    write_settings(
        Path(),
        models=[model for model in MODELS if model in {name for name, _ in CELLS}],
        views=view_settings(*sorted({view for _, view in CELLS})),
        eval_splits=["golden"],
        train_splits=[],
        splits={"golden": {"reader": "coco", "images": ".", "annotations": "none"}},
        extract=EXTRACT | {"shard_objects": 2},
        embeddings={"splits": ["golden"] if embedded else [], "models": list(embedded)},
    )


GOLDEN: Final = Golden("extract", draw_inputs, compute, _compare, origin=weights)
