"""Runs SAM2's automatic mask generator on another predictor, and returns its rows for each mask."""

import inspect
import warnings
from collections.abc import Mapping
from copy import copy
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, UInt8
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base

Records = list[dict[str, Any]]
"""Masks as ``SAM2AutomaticMaskGenerator.generate`` returns them."""

REFUSED: Final = ("model", "kwargs")
"""Parameters of the official generator that are no options: with ``kwargs``, it would ignore a
misspelt option."""


class MaskGenerator:
    """SAM2's automatic mask generator, which runs on any predictor.

    The official generator filters and joins the low-resolution masks of its predictor, and passes
    them back as ``mask_input``, but never reads them. So a predictor may return any numbers in
    their place, one row for each proposal.

    Parameters
    ----------
    model
        Model of the official generator's own predictor, which ``generate`` replaces.
    options
        Options of the official generator, without ``REFUSED``.

    Raises
    ------
    ValueError
        If an option is unknown, or ``multimask_output`` is False.
    """

    def __init__(self, model: SAM2Base, options: Mapping[str, Any]) -> None:
        official = inspect.signature(SAM2AutomaticMaskGenerator).parameters
        accepted = [name for name in official if name not in REFUSED]
        for name in options:
            if name not in accepted:
                raise ValueError(f"option must be one of {', '.join(accepted)}, got {name}")
        if not options.get("multimask_output", True):
            raise ValueError(
                "multimask_output must be True, got False: heads judge three proposals of a click"
            )
        with warnings.catch_warnings():
            # The constructor scripts the transforms of its predictor, which torch deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._official = SAM2AutomaticMaskGenerator(model, **options)

    def generate(
        self,
        rgb: UInt8[np.ndarray, "height width 3"],
        predictor: Any,  # noqa: ANN401 - has the methods of SAM2ImagePredictor that are called
    ) -> tuple[Records, Float32[np.ndarray, "record number"]]:
        """Generate the masks of an image, and return the predictor's numbers for each mask.

        ``predictor`` has the methods of ``SAM2ImagePredictor`` that the official generator calls.
        Its rows in place of low-resolution masks are the numbers that are returned: one row for
        each of the official records, in the same order.
        """
        generator = copy(self._official)  # images are generated in several threads
        generator.predictor = predictor
        masks = generator._generate_masks(rgb)  # noqa: SLF001 - records do not have the rows
        generator._generate_masks = lambda _: masks  # noqa: SLF001
        records: Records = generator.generate(rgb)
        rows: Float32[np.ndarray, "record number"] = masks["low_res_masks"]
        return records, rows
