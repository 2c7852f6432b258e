"""An image with its encodings, each made once and only if it is asked for."""

from typing import Final

from pipeline.predictor.images import Rgb, bytes_of
from pipeline.sam.model import Embedding, Sam
from pipeline.views import View, apply_view, default_view

IDENTITY: Final = default_view("identity")


class EncodedImage:
    """An image as the model of a predictor encodes it; other views and models come later, if ever.

    ``n_encodes`` counts these.
    """

    def __init__(self, sam: Sam, rgb: Rgb, embedding: Embedding) -> None:
        self._rgb = rgb
        self._sam = sam
        self.embedding = embedding
        self.n_encodes = 0
        self._encodings: dict[tuple[Sam, str], Embedding] = {(sam, _key(IDENTITY, "")): embedding}

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.embedding.size_px

    def by(self, sam: Sam) -> Embedding:
        """The image itself, encoded by another model."""
        return self._encoded(sam, IDENTITY, "")

    def in_view(self, view: View, *, name: str = "") -> Embedding:
        """A view of the image, encoded by the same model.

        Parameters
        ----------
        name
            Name of the image, which seeds what is random in a view.
        """
        return self._encoded(self._sam, view, name)

    def _encoded(self, sam: Sam, view: View, name: str) -> Embedding:
        key = sam, _key(view, name)
        if key not in self._encodings:
            rgb = (
                self._rgb if view == IDENTITY else apply_view(bytes_of(self._rgb), view, image=name)
            )
            self._encodings[key] = sam.encode(rgb)
            self.n_encodes += 1
        return self._encodings[key]


def _key(view: View, name: str) -> str:
    return view.name if view == IDENTITY else f"{view.name} {view.described_parameters} {name}"
