"""Soft masks as a SAM2 decoder draws them: a blob with a soft, wavy edge and some doubt inside."""

import cv2
import numpy as np


def soft_masks(seed: int, n_masks: int, size_px: int = 256) -> np.ndarray:
    """Foreground probabilities, float32 (n_masks, size_px, size_px).

    At 256 px their codes compress to some 9 kB a mask, as those of real models do.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size_px, :size_px] / size_px
    masks = np.empty((n_masks, size_px, size_px), np.float32)
    for mask in masks:
        center_x, center_y = rng.uniform(0.3, 0.7, 2)
        depth = (rng.uniform(0.1, 0.35) - np.hypot(x - center_x, y - center_y)) * 256
        logits = 0.6 * depth + 3 * _noise(rng, size_px, 6) + 0.3 * _noise(rng, size_px, 1.5)
        mask[:] = 1 / (1 + np.exp(-logits.clip(-32, 32)))
    return masks


def _noise(rng: np.random.Generator, size_px: int, blur_px: float) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.normal(size=(size_px, size_px)), (0, 0), blur_px)
    return np.asarray(noise / noise.std())
