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
"""Most bytes of all open images with their encodings.

Above ``MOST_BYTES`` or ``MOST_IMAGES``, the images that were used longest ago are closed.
"""

RELOAD_S: Final = 30
"""Seconds that an image stays open after its page was left: the page may only be reloading."""

MOST_ENCODED: Final = 2
"""Number of encodings that an image keeps, each by another model: users compare two models."""

SHOWN_PX: Final = 1024
"""Longer side, in pixels, of the masks that the page draws, for images of any size."""

THUMBNAIL_PX: Final = 128
"""Longer side, in pixels, of the picture by which a user chooses an image or a mask."""

Models = tuple[Sam, Sam | None]
"""Model that answers prompts, and the smallest model, which both encode an image.

The smallest model recognises images unlike the training images; None if it is not needed.
"""


def decode(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Decode the bytes of an image file to RGB.

    An ``ImageError`` refuses other bytes, more than ``MOST_PX`` pixels, and sides above
    ``MOST_SIDE_PX``.
    """
    return decode_rgb(data, most_px=MOST_PX, most_side_px=MOST_SIDE_PX)


def thumbnail_png(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Scale a picture so that its longer side is ``THUMBNAIL_PX``, and encode it as PNG.

    Smaller pictures are enlarged.
    """
    scale = THUMBNAIL_PX / max(rgb.shape[:2])
    size = [max(1, round(scale * side)) for side in rgb.shape[1::-1]]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return png_bytes(np.asarray(cv2.resize(rgb, size, interpolation=interpolation), np.uint8))


class OpenImage:
    """An image with its encodings by the models used last.

    ``is_scene`` says whether it is a drawn scene of the page, which the mini models know.
    """

    def __init__(self, rgb: UInt8[np.ndarray, "h w 3"], *, is_scene: bool = False) -> None:
        self.rgb = rgb
        """Pixels of the whole image."""
        self.height_px, self.width_px = self.rgb.shape[:2]
        longer_px = max(self.height_px, self.width_px)
        self.shown_size_px = (
            max(1, round(SHOWN_PX / longer_px * self.height_px)),
            max(1, round(SHOWN_PX / longer_px * self.width_px)),
        )
        """Height and width, in pixels, of the image's masks on the page."""
        shown = self.rgb
        if longer_px > SHOWN_PX:
            shown = cv2.resize(shown, self.shown_size_px[::-1], interpolation=cv2.INTER_AREA)
        self.picture = png_bytes(np.asarray(shown, np.uint8), compress_level=1)
        """The image as PNG, no larger than its masks on the page."""
        self.is_scene = is_scene
        """Whether the image is a drawn scene of the page, which the mini models know."""
        self._encoded: OrderedDict[Models, UncertainPredictor] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Bytes of the pixels, the PNG and the encodings; an encoding by SAM2 takes 44 MiB."""
        encoded = tuple(self._encoded.values())  # the model's thread may add to them meanwhile
        n_encoded = sum(predictor.n_encoded_bytes for predictor in encoded)
        return self.rgb.nbytes + len(self.picture) + n_encoded

    def predictor_like(self, predictor: UncertainPredictor) -> UncertainPredictor:
        """A predictor whose image is this image, with the model and heads of ``predictor``.

        ``predictor`` itself stays without an image. The image is encoded only if none of the last
        ``MOST_ENCODED`` encodings is by the same models. The predictor of an earlier call with the
        same models is the same object, and gets the new heads.
        """
        models = predictor.sam, predictor.smallest
        encoded = self._encoded.pop(models, None)
        if encoded is None:
            encoded = copy(predictor)
            encoded.set_image(self.rgb)  # the pixels are not copied
        self._encoded[models] = encoded
        if len(self._encoded) > MOST_ENCODED:
            self._encoded.popitem(last=False)
        encoded.heads = predictor.heads  # other heads read the same encoding
        return encoded


class OpenImages:
    """Open images by random names: only the page that opened an image can ask for the image."""

    def __init__(self) -> None:
        self._images: OrderedDict[str, OpenImage] = OrderedDict()
        self._leaving: dict[str, TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(self, image: OpenImage) -> str:
        """Open an image and return its random name; close images used longest ago to make room.

        The limits are ``MOST_IMAGES`` and ``MOST_BYTES``; the new image is open in any case.
        """
        name = secrets.token_urlsafe(24)
        self._images[name] = image
        while len(self._images) > 1 and self._is_too_much():
            self._images.popitem(last=False)
        return name

    def get(self, name: str) -> OpenImage | None:
        """The open image with this name; None if the image was closed or was never opened.

        The image then counts as used last, and is not closed because its page was left.
        """
        if name in self._images:
            self._images.move_to_end(name)
            self._stay(name)
        return self._images.get(name)

    def drop(self, name: str) -> None:
        """Close the image with this name, if it is open."""
        self._stay(name)
        self._images.pop(name, None)

    def leave(self, name: str) -> None:
        """Close an image after ``RELOAD_S``, unless a request for the image comes before.

        It must be called in the event loop.
        """
        self._stay(name)
        self._leaving[name] = get_running_loop().call_later(RELOAD_S, self.drop, name)

    def _stay(self, name: str) -> None:
        if name in self._leaving:
            self._leaving.pop(name).cancel()

    def _is_too_much(self) -> bool:
        n_bytes = sum(image.n_bytes for image in self._images.values())
        return len(self._images) > MOST_IMAGES or n_bytes > MOST_BYTES
