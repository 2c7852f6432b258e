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
from sklearn.metrics import roc_auc_score

from pipeline.predictor.colours import UNLIKE, TrainingColours, describe_colours
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.views import apply_view, default_view
from stages.predictor.card_entries import training_colours
from stages.settings.params import read_params
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.images.files import read_rgb
from tools.blocks import replace_block, table
from tools.family.batches import draw_cartoon

PAGE: Final = Path("docs", "predict.md")

FRESH_SEED: Final = 103
"""Of scenes that nothing was learned from or chosen on: descriptors and scales were on others."""

N_FRESH: Final = 3000

N_CHANGED: Final = 100
"""Fresh scenes that are shown in other views, and redrawn as cartoons."""

VIEWS: Final = ("gblur5", "jpeg10", "gnoise", "gray")

N_PATTERNS: Final = 40

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
    every |= photographs(folders) | changed(few) | patterns(size_px)
    replace_block(PAGE, "unlike", f"\n{unlike_table(every, colours)}\n")


def photographs(folders: Sequence[str]) -> dict[str, Images]:
    """Those of scikit-learn, and those of each folder."""
    found: dict[str, Images] = {}
    for folder in folders:
        paths = sorted(Path(folder).glob("*.jpg"))
        found[f"{len(paths)} photographs of COCO"] = [read_rgb(path) for path in paths]
    return found | {"scikit-learn's two photographs": list(load_sample_images().images)}


def changed(scenes: Sequence[Scene]) -> dict[str, Images]:
    """Scenes in other views, and redrawn in plain colours."""
    views = {
        f"fresh scenes as `{view.name}`: {view.kind.meaning}": [
            apply_view(scene.rgb, view, image=str(i)) for i, scene in enumerate(scenes)
        ]
        for view in map(default_view, VIEWS)
    }
    generator = np.random.default_rng(0)
    cartoons = [draw_cartoon(generator, scene.masks) for scene in scenes]
    return {**views, "their objects in plain colours": cartoons}


def patterns(size_px: int) -> dict[str, Images]:
    """What other generators draw, in random colours."""
    generator = np.random.default_rng(1)
    rows, columns = np.indices((size_px, size_px))

    def mix(share: np.ndarray) -> np.ndarray:
        first, second = generator.integers(0, 256, (2, 3))
        mixed: np.ndarray = first + share[..., None] * (second - first)
        return mixed.astype(np.uint8)

    sides = [2 ** (1 + i % 6) for i in range(N_PATTERNS)]
    noise = generator.integers(0, 256, (N_PATTERNS, size_px, size_px, 3), np.uint8)
    return {
        "checkerboards": [mix((rows // side + columns // side) % 2) for side in sides],
        "gradients from one colour to another": [mix(rows / size_px) for _ in sides],
        "one colour": [mix(np.zeros_like(rows)) for _ in sides],
        "uniform noise": list(noise),
    }


def unlike_table(every: dict[str, Images], colours: TrainingColours) -> str:
    """How many images of each kind are unlike, and how well their distances tell them apart.

    Parameters
    ----------
    every
        The first kind is what the others are told apart from.
    """
    described = {name: np.stack([*map(describe_colours, own)]) for name, own in every.items()}
    distances = {name: colours.distance(own) for name, own in described.items()}
    first, *_ = distances
    lines = []
    for name, own in distances.items():
        n_unlike = sum(colours.share_nearer(one) > UNLIKE for one in described[name])
        is_other = np.repeat([1, 0], [len(own), len(distances[first])])
        auroc = roc_auc_score(is_other, np.append(own, distances[first]))
        told = "–" if name == first else f"{auroc:.3f}"
        lines.append([name, str(len(own)), f"{n_unlike / len(own):.1%}", told])
    header = ("images", "number", "unlike", "AUROC against fresh scenes")
    return table(header, lines)


if __name__ == "__main__":
    main(sys.argv[1:])
