"""Masks of everything in an image, each with its uncertainty."""

from functools import partial
from typing import Any

import numpy as np
from PIL.Image import Image

from pipeline.predictor import uncertainty
from pipeline.predictor.advice import Costs
from pipeline.predictor.colours import describe_colours
from pipeline.predictor.encoded_image import bytes_of, rgb_of
from pipeline.predictor.uncertain_predictor import UncertainPredictor
from pipeline.sam.generator import MaskGenerator, Records


class UncertainMaskGenerator:
    """Takes the place of ``SAM2AutomaticMaskGenerator``, and says how wrong each mask may be.

    Parameters
    ----------
    predictor
        Whose model and heads to take.
    costs
        What a correction must gain to be advised. Another proposal never is: a mask stands alone.
    options
        Those of ``SAM2AutomaticMaskGenerator``, but for ``pipeline.sam.generator.UNKNOWN``.

    Raises
    ------
    ValueError
        If an option is unknown.
    """

    def __init__(
        self,
        predictor: UncertainPredictor,
        *,
        costs: Costs = Costs(),  # noqa: B008 - it is frozen
        **options: Any,  # noqa: ANN401 - theirs
    ) -> None:
        self._heads = predictor.heads
        self._costs = costs
        read = partial(uncertainty.proposal_inputs, predictor.heads)
        self._generator = MaskGenerator(predictor.sam, read, options)

    def generate(self, image: np.ndarray | Image) -> Records:
        """Masks of everything in an image.

        Returns
        -------
        The records of the official generator, in its order, each with ``expected_iou``, ``gap`` and
        ``direct_gap`` by name, ``advice``, ``is_kept``, ``unlike_training`` and ``caution``, as of
        an ``Uncertainty``.

        Raises
        ------
        TypeError, ValueError
            If it is no image that ``UncertainPredictor.set_image`` takes.

        Notes
        -----
        The heads read the tokens of the very decoder calls that gave the masks.
        """
        rgb = bytes_of(rgb_of(image))
        records, inputs = self._generator.generate(rgb)
        sam_score = np.array([record["predicted_iou"] for record in records], np.float32)
        predicted = uncertainty.predict_rows(self._heads, inputs, sam_score)
        judgement = uncertainty.judge(self._heads, predicted)
        facts = self._heads.image_facts(rgb, describe_colours(rgb))
        return [record | self._values_of(judgement, i, facts) for i, record in enumerate(records)]

    def _values_of(
        self, judgement: uncertainty.Judgement, i: int, facts: uncertainty.ImageFacts
    ) -> dict[str, Any]:
        advice, kept = uncertainty.decide(
            judgement, i, self._heads, self._costs, is_unlike=facts.is_unlike
        )
        return {
            **judgement.values_of(i),
            "advice": advice.to_dict(),
            "is_kept": kept,
            "unlike_training": facts.unlike_training,
            "caution": facts.caution or None,
        }
