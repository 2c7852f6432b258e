"""Draws masks and their uncertainty on the image."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from pipeline.gallery import CLICK_COLOUR, PREDICTION_COLOUR, RgbImage, dot, tint

BACKGROUND_COLOUR: Final = (15, 23, 42)
"""Colour of clicks beside the object."""

GREY: Final = 0.5
"""Factor on the brightness of the image under a heat map."""

Clicks = Sequence[tuple[float, float]]


def draw_mask(
    rgb: RgbImage, mask: Bool[np.ndarray, "height width"], *, on: Clicks = (), beside: Clicks = ()
) -> RgbImage:
    """Draw a mask in green, and clicks (x, y) in pixels of the image as dots.

    Clicks ``on`` the object are red, clicks ``beside`` it nearly black.
    """
    picture = _filled(rgb, mask, PREDICTION_COLOUR)
    for clicks, colour in ((on, CLICK_COLOUR), (beside, BACKGROUND_COLOUR)):
        for x, y in clicks:
            picture = dot(picture, x + 0.5, y + 0.5, colour)
    return picture


def draw_masks(
    rgb: RgbImage, masks: Sequence[Bool[np.ndarray, "height width"]], iou: Sequence[float]
) -> RgbImage:
    """Draw each mask in the colour of its IoU: red at 0, green at 1; later ones cover earlier."""
    picture = rgb
    for mask, share in zip(masks, iou, strict=True):
        bad, good = np.array(CLICK_COLOUR), np.array(PREDICTION_COLOUR)
        red, green, blue = np.rint(bad + share * (good - bad)).astype(int).tolist()
        picture = _filled(picture, mask, (red, green, blue))
    return picture


def draw_entropy(rgb: RgbImage, bits: Float32[np.ndarray, "y x"]) -> RgbImage:
    """Draw the entropy of each pixel as a heat map on the grey image: bright yellow at 1 bit.

    ``bits`` may have any resolution; it is resized to the image.
    """
    height, width = rgb.shape[:2]
    grown = cv2.resize(bits, (width, height), interpolation=cv2.INTER_LINEAR)[..., np.newaxis]
    heat = cv2.applyColorMap((255 * grown).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., np.newaxis] * GREY
    picture: RgbImage = (grown * heat + (1 - grown) * grey).astype(np.uint8)
    return picture


def _filled(
    rgb: RgbImage, mask: Bool[np.ndarray, "height width"], colour: tuple[int, int, int]
) -> RgbImage:
    """Tint the image inside a mask, and draw the mask's outline in full colour."""
    picture = tint(rgb, mask, colour)
    rim = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    picture[mask & rim] = colour
    return picture
