"""Finds the embeddings of images in stores, by the digests of the images' pixels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.embeddings import StoredEmbedding, level_names
from pipeline.vocabulary import IMAGE_STATISTICS
from stages.settings.versions import VERSIONS
from storage.checkpoints.weights import Checkpoint
from storage.errors import StoreError
from storage.store.embedding_rows import image_rows, read_embedding
from storage.store.opening import naming_damage, open_embeddings
from storage.store.signature import compare

if TYPE_CHECKING:
    import xarray

    from pipeline.predictor.encoded_image import Statistics

Places = str | Path | Sequence[str | Path]
"""Path or address of a store of embeddings, or several, of a model each."""


def listed_places(places: Places | None) -> tuple[str | Path, ...]:
    """Paths and addresses as a tuple; empty for None."""
    if places is None:
        return ()
    return (places,) if isinstance(places, str | Path) else tuple(places)


def signature_of(place: str | Path) -> Mapping[str, Any]:
    """Signature of a store of embeddings: family, model, weights, precision and other entries."""
    signature: Mapping[str, Any] = open_embeddings(place).attrs["signature"]
    return signature


class EmbeddingStores:
    """Embeddings by a model, and statistics of images by the heads' smallest model.

    Images are found by the sha256 of their pixels.

    Parameters
    ----------
    places
        Stores of embeddings, one or more by the model, others by the smallest model.
    weights
        Weights of the model whose embeddings are needed.
    smallest
        Weights of the smallest model, whose encoder tells whether an image is unlike the training
        images of heads.
    precision
        Precision of all stores.

    Raises
    ------
    StoreError
        If a store was made by another model, or with other weights or in another precision, or if
        none is by the model.
    """

    def __init__(
        self,
        places: Sequence[str | Path],
        weights: Checkpoint,
        *,
        smallest: Checkpoint,
        precision: str,
    ) -> None:
        self._by_model: dict[str, list[tuple[xarray.Dataset, Mapping[str, int]]]] = {}
        for place in places:
            embeddings = open_embeddings(place)
            signature = embeddings.attrs["signature"]
            is_other = signature.get("model") == smallest.model != weights.model
            of_model = smallest if is_other else weights
            expected = {
                "embed_version": VERSIONS["embed"],
                "family": weights.family,
                "model": of_model.model,
                "weights": of_model.digest,
                "precision": precision,
                "levels": level_names(precision),
            }
            difference = compare(signature, expected)
            if difference is not None:
                raise StoreError(f"{place} was written under other inputs ({difference})")
            self._by_model.setdefault(of_model.model, []).append(
                (embeddings, image_rows(embeddings))
            )
        if weights.model not in self._by_model:
            stores = ", ".join(map(str, places))
            raise StoreError(
                f"embeddings must be by the model {weights.model}, got {stores} by {smallest.model}"
            )
        self._model = weights.model
        self._smallest = smallest.model

    def embedding(self, pixels_sha256: str) -> StoredEmbedding | None:
        """Embedding of an image by the model; None if no store has the image."""
        for embeddings, rows in self._by_model.get(self._model, ()):
            if pixels_sha256 in rows:
                return read_embedding(embeddings, rows[pixels_sha256])
        return None

    def smallest_statistics(self, pixels_sha256: str) -> "Statistics | None":
        """Statistics of an image by the smallest model's encoder; None if no store has them.

        They are the means and the standard deviations of the encoder's channels.
        """
        for embeddings, rows in self._by_model.get(self._smallest, ()):
            if pixels_sha256 in rows:
                with naming_damage(embeddings.encoding["source"]):
                    row = embeddings.isel(image=rows[pixels_sha256])
                    return np.concatenate([row[name].to_numpy() for name in IMAGE_STATISTICS])
        return None
