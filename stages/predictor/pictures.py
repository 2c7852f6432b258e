"""Pictures of what a predictor says."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.predictor import Uncertainty
from pipeline.predictor.pictures import draw_entropy, draw_mask
from storage.folders import whole_file


def save_pictures(
    folder: Path,
    name: str,
    rgb: np.ndarray,
    found: Uncertainty,
    *,
    on: Sequence[tuple[float, float]],
    beside: Sequence[tuple[float, float]],
) -> list[Path]:
    """Write the selected mask, the mask on the image, and the entropy of its pixels.

    Returns
    -------
    ``<name>-mask.png`` (255 inside), ``<name>-overlay.png`` and ``<name>-entropy.png``.
    """
    mask = found.masks[found.selected]
    pictures = {
        "mask": mask.astype(np.uint8) * 255,
        "overlay": draw_mask(rgb, mask, on=on, beside=beside),
        "entropy": draw_entropy(rgb, found.pixel_entropy[found.selected]),
    }
    paths = []
    for kind, pixels in pictures.items():
        path = folder / f"{name}-{kind}.png"
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        with whole_file(path) as partial:
            partial.write_bytes(png.getvalue())
        paths.append(path)
    return paths
