"""Images open on the page, in memory only."""

import secrets
from asyncio import TimerHandle, get_running_loop
from collections import OrderedDict
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.predictor import UncertainPredictor
from pipeline.sam.model import Sam
from pipeline.scenes.scene import is_demo_scene
from storage.images.image_files import decode_rgb, png_bytes

MOST_UPLOAD_BYTES: Final = 20_000_000

MOST_PX: Final = 50_000_000
MOST_SIDE_PX: Final = 16_384

MOST_IMAGES: Final = 32
MOST_BYTES: Final = 2**30
"""Images that are open at once, and the bytes of their pixels together; beyond, the oldest are
dropped.
"""

RELOAD_S: Final = 30
"""How long an image outlives its page, which may only be reloading."""

MOST_ENCODED: Final = 2
"""Models whose encoding of an image is kept: to go back and forth between two is common."""

SHOWN_PX: Final = 1024
"""Longer side of a mask as the page draws it, whatever the size of the image."""


def decode(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Pixels of an image of a file's bytes.

    Raises
    ------
    ImageError
        If the page cannot take it.
    """
    return decode_rgb(data, most_px=MOST_PX, most_side_px=MOST_SIDE_PX)


class OpenImage:
    """An image of a file's bytes, and as models have encoded it.

    Raises
    ------
    ImageError
        If the page cannot take it.
    """

    def __init__(self, data: bytes) -> None:
        self._rgb = decode(data)
        self.height_px, self.width_px = self._rgb.shape[:2]
        longer_px = max(self.height_px, self.width_px)
        self.shown_size_px = (
            max(1, round(SHOWN_PX / longer_px * self.height_px)),
            max(1, round(SHOWN_PX / longer_px * self.width_px)),
        )
        """Height and width of its masks on the page."""
        shown = self._rgb
        if longer_px > SHOWN_PX:
            shown = cv2.resize(shown, self.shown_size_px[::-1], interpolation=cv2.INTER_AREA)
        self.picture = png_bytes(np.asarray(shown, np.uint8), compress_level=1)
        """PNG, no larger than masks are shown."""
        self.is_scene = is_demo_scene(self._rgb)
        """Whether it is drawn like those that the mini models know."""
        self._encoded: OrderedDict[Sam, UncertainPredictor] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes that it takes beside its encodings."""
        return self._rgb.nbytes + len(self.picture)

    def predictor_like(self, predictor: UncertainPredictor) -> UncertainPredictor:
        """A predictor of the same model and heads that has this image before it."""
        own = self._encoded.pop(predictor.sam, None)
        if own is None:
            own = UncertainPredictor(predictor.sam, predictor.heads)
            own.set_image(self._rgb)  # not copied
        self._encoded[predictor.sam] = own
        if len(self._encoded) > MOST_ENCODED:
            self._encoded.popitem(last=False)
        own.heads = predictor.heads  # other heads read the same encoding
        return own


class OpenImages:
    """Open images by unguessable names, without which they cannot be seen."""

    def __init__(self) -> None:
        self._images: OrderedDict[str, OpenImage] = OrderedDict()
        self._leaving: dict[str, TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(self, image: OpenImage) -> str:
        """Keep an image and name it; those used longest ago make room."""
        name = secrets.token_urlsafe(24)
        self._images[name] = image
        while len(self._images) > 1 and self._is_too_much():
            self._images.popitem(last=False)
        return name

    def get(self, name: str) -> OpenImage | None:
        """An image that is open; None if it was dropped or never there."""
        if name in self._images:
            self._images.move_to_end(name)
            self._stay(name)
        return self._images.get(name)

    def drop(self, name: str) -> None:
        """Forget an image, if it is there."""
        self._stay(name)
        self._images.pop(name, None)

    def leave(self, name: str) -> None:
        """Forget an image after ``RELOAD_S``, unless it is used before."""
        self._stay(name)
        self._leaving[name] = get_running_loop().call_later(RELOAD_S, self.drop, name)

    def _stay(self, name: str) -> None:
        if name in self._leaving:
            self._leaving.pop(name).cancel()

    def _is_too_much(self) -> bool:
        n_bytes = sum(image.n_bytes for image in self._images.values())
        return len(self._images) > MOST_IMAGES or n_bytes > MOST_BYTES
