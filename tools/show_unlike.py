"""Writes which images the shipped heads find unlike what they learned from: ``make results``.

Reads   the card of the heads that ship, ``params.yaml:shapes``, folders of photographs given as
        arguments.
Writes  the part of ``docs/predict.md`` between ``<!-- unlike -->`` and ``<!-- /unlike -->``.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.datasets import load_sample_images

from pipeline.predictor.colours import OUT_OF_DISTRIBUTION, TrainingColours, describe_colours
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.views import apply_view, default_view
from stages.predictor.card_entries import training_colours
from stages.settings.params import read_params
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.images.image_files import read_rgb
from tools.blocks import replace_block, table

PAGE: Final = Path("docs", "predict.md")

FRESH_SEED: Final = 103
"""Of scenes that nothing was learned from or chosen on: descriptors and scales were on others."""

N_FRESH: Final = 3000

N_CHANGED: Final = 100
"""Fresh scenes that are shown in other views."""

VIEWS: Final = {"gblur5": "blurred", "jpeg10": "as JPEG", "gnoise": "with noise"}
"""Views by what rows call them."""

Images = Iterable[np.ndarray]


def main(folders: Sequence[str]) -> None:
    """Rewrite the block."""
    colours = training_colours(read_head_file(shipped_heads()).card)
    if colours is None:
        raise SystemExit("the heads that ship must have the colours of their images: export them")
    size_px = read_params().shapes.image_size_px
    seeds = scene_seeds(FRESH_SEED, "further", N_FRESH)
    every: dict[str, Images] = {"fresh scenes": (draw_scene(own, size_px).rgb for own in seeds)}
    few = [draw_scene(own, size_px) for own in seeds[:N_CHANGED]]
    every |= photographs(folders) | changed(few)
    replace_block(PAGE, "unlike", f"\n{unlike_table(every, colours)}\n")


def photographs(folders: Sequence[str]) -> dict[str, Images]:
    """Those of the folders, and those of scikit-learn."""
    paths = [path for folder in folders for path in sorted(Path(folder).glob("*.jpg"))]
    found: dict[str, Images] = {}
    if paths:
        found["photographs of COCO"] = [read_rgb(path) for path in paths]
    return found | {"photographs of scikit-learn": list(load_sample_images().images)}


def changed(scenes: Sequence[Scene]) -> dict[str, Images]:
    """Scenes in other views."""
    return {
        f"scenes, {words}": [
            apply_view(scene.rgb, default_view(name), image=str(i))
            for i, scene in enumerate(scenes)
        ]
        for name, words in VIEWS.items()
    }


def unlike_table(every: dict[str, Images], colours: TrainingColours) -> str:
    """How many images of each kind are unlike."""
    lines = []
    for name, images in every.items():
        shares = [colours.share_nearer(describe_colours(rgb)) for rgb in images]
        n_unlike = sum(share > OUT_OF_DISTRIBUTION for share in shares)
        lines.append([name, str(len(shares)), f"{n_unlike / len(shares):.1%}"])
    return table(("images", "number", "unlike"), lines)


if __name__ == "__main__":
    main(sys.argv[1:])
