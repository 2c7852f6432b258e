"""Responses to a prompt: a predictor's values, and masks to download."""

import base64
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image
from pycocotools import mask as coco_mask

from pipeline.predictor import Uncertainty
from stages.predictor.results import prompt_values, proposal_values
from storage.images.files import png_bytes
from storage.rle import encode_rle


def uncertainty_response(found: Uncertainty) -> dict[str, Any]:
    """All values about a prompt; masks and entropies as PNG."""
    return {
        **prompt_values(found),
        "proposals": [_proposal(found, k, bits) for k, bits in enumerate(found.pixel_entropy)],
    }


def _proposal(found: Uncertainty, k: int, bits: Float32[np.ndarray, "y x"]) -> dict[str, Any]:
    return {
        **proposal_values(found, k),
        "area": float(found.masks[k].mean()),
        "mask": _base64_png(_see_through(found.masks[k])),
        "entropy": _base64_png(Image.fromarray((255 * bits).round().astype(np.uint8))),
    }


def _see_through(mask: Bool[np.ndarray, "h w"]) -> Image.Image:
    """White inside, transparent outside: a canvas gives it any colour."""
    picture = Image.fromarray(mask.astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.info["transparency"] = 0
    return picture


def _base64_png(picture: Image.Image) -> str:
    png = png_bytes(picture, bits=1 if picture.mode == "P" else 8)
    return base64.b64encode(png).decode()


def mask_png(mask: Bool[np.ndarray, "h w"]) -> bytes:
    """A mask at the size of its image: 255 inside, 0 outside."""
    return png_bytes(mask.astype(np.uint8) * 255)


def coco_response(found: Uncertainty, k: int, file_name: str) -> dict[str, Any]:
    """A COCO file of one image with one annotation: a proposal with its values.

    Its ``score`` is the expected IoU, as in the results of ``usam predict-coco``.
    """
    mask = found.masks[k]
    height, width = mask.shape
    counts = encode_rle(mask)
    rle = {"size": [height, width], "counts": counts}
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "segmentation": rle,
        "area": int(mask.sum()),
        "bbox": coco_mask.toBbox(rle).tolist(),
        "score": float(found.expected_iou.own[k]),
        "uncertainty": {
            "proposal": k,
            **proposal_values(found, k),
            **prompt_values(found),
        },
    }
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "object"}],
    }
