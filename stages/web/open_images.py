"""Images open on the page, in memory only."""

import secrets
from asyncio import TimerHandle, get_running_loop
from collections import OrderedDict
from copy import copy
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from pipeline.predictor import UncertainPredictor
from pipeline.sam.model import Sam
from storage.images.image_files import decode_rgb, png_bytes

MOST_UPLOAD_BYTES: Final = 20_000_000

MOST_PX: Final = 50_000_000
MOST_SIDE_PX: Final = 16_384

MOST_IMAGES: Final = 32
MOST_BYTES: Final = 2**30
"""Most images open at once, and most bytes of these with their encodings; beyond, the images used
longest ago are closed.
"""

RELOAD_S: Final = 30
"""How long an image stays open after its page was left: the page may only be loading again."""

MOST_ENCODED: Final = 2
"""Models whose encoding of an image is kept: users go back and forth between two."""

SHOWN_PX: Final = 1024
"""Longer side of a mask as the page draws it, for images of any size."""


Models = tuple[Sam, Sam | None]
"""Models that encode an image: one to be asked, and one that tells unlike images, if needed."""


def decode(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Decode the bytes of an image file.

    Raises
    ------
    ImageError
        If the bytes are no image, or one with too many pixels.
    """
    return decode_rgb(data, most_px=MOST_PX, most_side_px=MOST_SIDE_PX)


class OpenImage:
    """The image in a file's bytes, with its encodings by models.

    Raises
    ------
    ImageError
        If the bytes are no image, or one with too many pixels.
    """

    def __init__(self, data: bytes, *, is_scene: bool = False) -> None:
        self._rgb = decode(data)
        self.height_px, self.width_px = self._rgb.shape[:2]
        longer_px = max(self.height_px, self.width_px)
        self.shown_size_px = (
            max(1, round(SHOWN_PX / longer_px * self.height_px)),
            max(1, round(SHOWN_PX / longer_px * self.width_px)),
        )
        """Height and width of the image's masks on the page."""
        shown = self._rgb
        if longer_px > SHOWN_PX:
            shown = cv2.resize(shown, self.shown_size_px[::-1], interpolation=cv2.INTER_AREA)
        self.picture = png_bytes(np.asarray(shown, np.uint8), compress_level=1)
        """The image as PNG, no larger than its masks on the page."""
        self.is_scene = is_scene
        """Whether the page drew the image: the mini models know such scenes."""
        self._encoded: OrderedDict[Models, UncertainPredictor] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes of the pixels, of the PNG and of the encodings: of SAM2, 44 MiB each."""
        encoded = tuple(self._encoded.values())  # the model's thread may add to them meanwhile
        n_encoded = sum(predictor.n_encoded_bytes for predictor in encoded)
        return self._rgb.nbytes + len(self.picture) + n_encoded

    def predictor_like(self, predictor: UncertainPredictor) -> UncertainPredictor:
        """A predictor with the same model and heads that has this image set."""
        models = predictor.sam, predictor.smallest
        encoded = self._encoded.pop(models, None)
        if encoded is None:
            encoded = copy(predictor)
            encoded.set_image(self._rgb)  # not copied
        self._encoded[models] = encoded
        if len(self._encoded) > MOST_ENCODED:
            self._encoded.popitem(last=False)
        encoded.heads = predictor.heads  # other heads read the same encoding
        return encoded


class OpenImages:
    """Open images by names that cannot be guessed: only the page that opened an image sees it."""

    def __init__(self) -> None:
        self._images: OrderedDict[str, OpenImage] = OrderedDict()
        self._leaving: dict[str, TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(self, image: OpenImage) -> str:
        """Keep an image and name it; the images that were used longest ago make room."""
        name = secrets.token_urlsafe(24)
        self._images[name] = image
        while len(self._images) > 1 and self._is_too_much():
            self._images.popitem(last=False)
        return name

    def get(self, name: str) -> OpenImage | None:
        """The open image of a name; None if it was closed, or if there never was any."""
        if name in self._images:
            self._images.move_to_end(name)
            self._stay(name)
        return self._images.get(name)

    def drop(self, name: str) -> None:
        """Close an image, if it is open."""
        self._stay(name)
        self._images.pop(name, None)

    def leave(self, name: str) -> None:
        """Close an image after ``RELOAD_S``, unless a request for it comes before."""
        self._stay(name)
        self._leaving[name] = get_running_loop().call_later(RELOAD_S, self.drop, name)

    def _stay(self, name: str) -> None:
        if name in self._leaving:
            self._leaving.pop(name).cancel()

    def _is_too_much(self) -> bool:
        n_bytes = sum(image.n_bytes for image in self._images.values())
        return len(self._images) > MOST_IMAGES or n_bytes > MOST_BYTES
