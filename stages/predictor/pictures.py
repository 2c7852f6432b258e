"""Pictures of what a predictor says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.predictor import Uncertainty
from pipeline.predictor.pictures import draw_entropy, draw_mask, draw_masks
from storage.folders import whole_file
from storage.images.files import png_bytes
from storage.rle import decode_rle


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
    return [_save(folder / f"{name}-{kind}.png", pixels) for kind, pixels in pictures.items()]


def save_everything(
    folder: Path, name: str, rgb: np.ndarray, records: Sequence[Mapping[str, Any]]
) -> Path:
    """Write ``<name>-everything.png``: all masks on the image, from red to green by expected IoU.

    Parameters
    ----------
    records
        As ``UncertainMaskGenerator`` returns them, with COCO's RLE.
    """
    height, width = rgb.shape[:2]
    # The larger ones first, so that what lies on them is seen.
    ordered = sorted(records, key=lambda record: -record["area"])
    masks = [decode_rle(one["segmentation"]["counts"], height, width) for one in ordered]
    iou = [one["expected_iou"]["own"] for one in ordered]
    return _save(folder / f"{name}-everything.png", draw_masks(rgb, masks, iou))


def _save(path: Path, pixels: np.ndarray) -> Path:
    with whole_file(path) as partial:
        partial.write_bytes(png_bytes(pixels))
    return path
