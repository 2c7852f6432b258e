"""Tells views of images apart by statistics of the encoder, so that heads know how to read a mask.

An object at half its size, or behind the blocks of a strong JPEG compression, has tokens much like
those of other objects, but its masks are worse. The image shows the cause.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int

from pipeline.heads.predict import LAYERS, STANDARD, HeadWeights

FIRST: Final = LAYERS[:2]
"""Names of the tensors of the first layer."""

SHRINKAGE: Final = 0.1
"""Weight of the identity in the covariance of statistics within a view."""

MOST_IMAGES: Final = 400
"""Largest number of images by which views are told apart; of more, 400 at equal steps are taken."""

Statistics = Float32[np.ndarray, "row statistic"]
"""``encoder_mean`` and ``encoder_std`` side by side."""


@dataclass(frozen=True)
class ImageAxes:
    """Directions of the encoder's statistics along which views of images differ most."""

    mean: Float32[np.ndarray, " statistic"]
    scale: Float32[np.ndarray, " statistic"]
    directions: Float32[np.ndarray, "statistic axis"]
    """Directions of standardised statistics: one fewer than views, so none for one view."""

    @property
    def n_statistics(self) -> int:
        """Number of statistics of an image."""
        return len(self.directions)

    @property
    def n_axes(self) -> int:
        """Number of directions."""
        return len(self.directions.T)

    def folded(self, inputs: Float32[np.ndarray, "row input"]) -> Float32[np.ndarray, "row folded"]:
        """Replace the last inputs, an image's statistics, by its coordinates along the directions.

        Heads read these coordinates in their training.
        """
        others, statistics = np.split(inputs, [inputs.shape[1] - self.n_statistics], axis=1)
        coordinates = ((statistics - self.mean) / self.scale) @ self.directions
        return np.concatenate([others, coordinates], axis=1)

    def unfolded(self, layer: HeadWeights) -> HeadWeights:
        """Make a first layer that reads statistics from one that reads coordinates.

        Parameters
        ----------
        layer
            Weight and bias of the layer, and the standardisation of its inputs, by their names.

        Returns
        -------
        The same of a layer that has the same output, up to rounding.
        """
        (weight, bias), (mean, scale) = ((layer[name] for name in of) for of in (FIRST, STANDARD))
        n_others = len(mean) - self.n_axes
        of_axes = weight[:, n_others:] / scale[n_others:]
        tensors = (
            np.concatenate([weight[:, :n_others], of_axes @ self.directions.T], axis=1),
            bias - of_axes @ mean[n_others:],
            np.concatenate([mean[:n_others], self.mean]),
            np.concatenate([scale[:n_others], self.scale]),
        )
        return dict(zip((*FIRST, *STANDARD), tensors, strict=True))


def fit_axes(statistics: Statistics, view: Int[np.ndarray, " row"]) -> ImageAxes:
    """Find the directions that tell views apart; there is none if all rows have one view.

    Parameters
    ----------
    statistics
        A row for each image in each view, by the encoder of each model.
    view
        Number of the view of each row.

    Notes
    -----
    Linear discriminant analysis (Fisher 1936), with a covariance that is shrunk towards the
    identity. No IoU is known here. Heads that read the statistics themselves, and not their few
    coordinates, would learn images by heart.
    """
    mean, deviation = statistics.mean(axis=0), statistics.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
    if len(np.unique(view)) == 1:
        directions = np.empty((len(mean), 0), np.float32)
    else:
        # Imported here, as in `split_by_group`.
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: PLC0415

        analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
        analysis.fit((statistics - mean) / scale, view)
        directions = analysis.scalings_[:, : len(np.unique(view)) - 1].astype(np.float32)
    return ImageAxes(mean, scale, directions)
