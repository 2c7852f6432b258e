"""What the official predictor and a hook of its own say, one prompt at a time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

Said = dict[str, np.ndarray]


class OfficialPredictor:
    """``SAM2ImagePredictor``, at the size of any model, with the decoder's tokens."""

    def __init__(self, model: SAM2Base) -> None:
        with warnings.catch_warnings():
            # The package scripts its transforms, which torch deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.predictor = SAM2ImagePredictor(model)
        side = model.image_size // 4
        # Hard-coded for 1024 px in the package.
        self.predictor._bb_feat_sizes = [(side, side), (side // 2,) * 2, (side // 4,) * 2]
        self.model = model

    def set_image(self, rgb: np.ndarray) -> None:
        self.predictor.set_image(rgb)

    def predict(self, clicks: np.ndarray, truth: np.ndarray) -> Said:
        """Arrays of one prompt set, named as in the cache; ``logits`` are not clamped."""
        with self._spying() as seen:
            masks, scores, _ = self.predictor.predict(
                clicks.astype(np.float32), np.ones(len(clicks), np.int32), multimask_output=True
            )
        tokens, (logits, _, _, object_score) = seen
        return {
            "sam_score": scores,
            "iou": pycocotools_iou(masks > 0, truth),
            "iou_token": tokens[0, 1].numpy(),
            "mask_token": tokens[0, 2:6].numpy(),
            "object_score": object_score[0, 0].numpy(),
            "logits": logits[0].numpy(),
        }

    @contextmanager
    def _spying(self) -> Iterator[list[Any]]:
        seen: list[Any] = []
        decoder = self.model.sam_mask_decoder
        hooks = [
            decoder.transformer.register_forward_hook(lambda *a: seen.append(a[2][0].detach())),
            decoder.register_forward_hook(lambda *a: seen.append(a[2])),
        ]
        with torch.inference_mode():
            yield seen
        for hook in hooks:
            hook.remove()


def pycocotools_iou(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of full-size masks (n, h, w) with one true mask, as pycocotools scores it."""
    found = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    real = coco_mask.encode(np.asfortranarray(truth, np.uint8))
    return np.asarray(coco_mask.iou(found, [real], [0])[:, 0], np.float32)
