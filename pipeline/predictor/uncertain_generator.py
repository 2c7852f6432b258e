"""Generates masks of everything in an image, each with its uncertainty."""

from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL.Image import Image
from torch import Tensor

from pipeline.predictor.advice import NONE, Advice, Costs
from pipeline.predictor.encoded_image import EncodedImage, bytes_of, rgb_of
from pipeline.predictor.judgement import Permission, decide, permitted
from pipeline.predictor.postprocessing import Postprocessing
from pipeline.predictor.prompt_sets import DecoderPrompts
from pipeline.predictor.proposal_heads import predict_proposals, proposal_inputs, values_of
from pipeline.predictor.uncertain_predictor import UncertainPredictor, own_precision, single_masks
from pipeline.predictor.uncertainty import bounded
from pipeline.sam.generator import MaskGenerator, Records
from pipeline.sam.model import Embedding
from pipeline.scoring.evidence import HeadPredictions
from pipeline.upsampling import at_image, on_image

REFINED: Final = "expected IoUs and gaps are about the mask before it was refined"
"""Caution for masks of ``use_m2m``: heads judged the proposal before SAM2 refined its mask."""


class UncertainMaskGenerator:
    """Replaces ``SAM2AutomaticMaskGenerator``, and tells how wrong each mask may be.

    Parameters
    ----------
    predictor
        Predictor whose model and heads are used; its image is neither used nor changed.
    costs
        Gain in IoU that a correction must exceed to be advised. Another proposal is never advised:
        a record has one mask.
    options
        Options of ``SAM2AutomaticMaskGenerator``, without ``model`` and ``kwargs``.

    Raises
    ------
    ValueError
        If an option is unknown, or ``multimask_output`` is False.
    """

    def __init__(
        self,
        predictor: UncertainPredictor,
        *,
        costs: Costs = Costs(),  # noqa: B008 - it is frozen
        **options: Any,  # noqa: ANN401 - SAM2's
    ) -> None:
        area = float(options.get("min_mask_region_area", 0))
        self._predictor = predictor
        self._costs = costs
        self._is_refined = bool(options.get("use_m2m", False))
        self._postprocessing = Postprocessing(
            max_hole_area=area,
            max_sprinkle_area=area,
            apply_postprocessing=predictor.postprocessing.apply_postprocessing,
        )
        self._generator = MaskGenerator(predictor.sam.model, options)

    def generate(self, image: np.ndarray | Image) -> Records:
        """Generate masks of everything in an image.

        Returns
        -------
        Records of the official generator, in its order, with the additional entries
        ``expected_iou``, ``gap``, ``direct_gap``, ``advice``, ``is_kept``, ``unlike_training``,
        ``caution``, ``family`` and ``model``, as ``Uncertainty.to_dict`` gives them for a prompt.
        ``is_kept`` is always None: no guarantee was calibrated on clicks of a grid.

        Raises
        ------
        TypeError, ValueError
            If ``UncertainPredictor.set_image`` would refuse the image.
        ValueError
            If the model answers with NaN.

        Notes
        -----
        The heads read the tokens of the decoder calls that gave the masks. With ``use_m2m``, they
        read the tokens from before the refinement, so the refined mask gets no advice.
        """
        rgb, heads = bytes_of(rgb_of(image)), self._predictor.heads
        decoder = _ProposalDecoder(
            self._predictor, self._postprocessing, is_refined=self._is_refined
        )
        with own_precision(self._predictor.device):
            records, rows = self._generator.generate(rgb, decoder)
            assert decoder.whole_image is not None  # the generator has set it
            unlike_training = heads.unlike_training(decoder.whole_image)
        sam_score = np.array([record["predicted_iou"] for record in records], np.float32)
        predictions = heads.named(predict_proposals(heads, rows[:, decoder.n_logits :], sam_score))
        permission = permitted(heads, (), unlike_training=unlike_training)
        return [
            record | self._values_of(predictions, i, permission) for i, record in enumerate(records)
        ]

    def _values_of(
        self, predictions: HeadPredictions | None, i: int, permission: Permission
    ) -> dict[str, Any]:
        cautions = [*permission.cautions, self._postprocessing.caution]
        advice, is_kept = decide(predictions, i, self._costs, permission=permission)
        if self._is_refined:
            own_iou = None if predictions is None else float(predictions.own[i])
            advice, is_kept = Advice(NONE, 0.0, own_iou, {}), None
            cautions.append(REFINED)
        return {
            **values_of(predictions, i),
            "advice": advice.to_dict(),
            "is_kept": is_kept,
            "unlike_training": permission.unlike_training,
            "caution": "; ".join(filter(None, cautions)) or None,
            "family": self._predictor.heads.family,
            "model": self._predictor.heads.model,
        }


class _ProposalDecoder:
    """The predictor that the official generator calls.

    In place of a low-resolution mask, it returns a row of numbers for each proposal: the inputs of
    the heads. If masks are refined, the proposal's logits come before these inputs, because the
    generator passes the row back as ``mask_input``.
    """

    def __init__(
        self, predictor: UncertainPredictor, postprocessing: Postprocessing, *, is_refined: bool
    ) -> None:
        self._predictor, self._sam, self._heads = predictor, predictor.sam, predictor.heads
        self._postprocessing = postprocessing
        self._embedding: Embedding | None = None
        self.whole_image: EncodedImage | None = None
        """The first image that was set, which is the whole image; crops follow."""
        self._transforms = self
        self._side = predictor.sam.mask_size_px
        self.n_logits = self._side**2 if is_refined else 0
        """Number of logits at the start of a row."""

    @property
    def device(self) -> torch.device:
        return self._sam.device

    def set_image(self, rgb: UInt8[np.ndarray, "height width 3"]) -> None:
        """Encode a crop; the embedding of the whole image may be in the predictor's stores."""
        rgb = np.ascontiguousarray(rgb)
        image = self._predictor.stored_image(rgb) if self.whole_image is None else None
        image = image or EncodedImage(rgb, self._sam.encode(rgb), self._predictor.smallest)
        self._embedding = image.embedding
        self.whole_image = self.whole_image or image

    def reset_predictor(self) -> None:
        self._embedding = None

    def transform_coords(self, points: Tensor, **_: object) -> Tensor:
        """Return the points as they are: ``Sam.decode`` takes pixels of the image."""
        return points

    def _predict(
        self,
        points: Float[Tensor, "prompt 1 2"],
        labels: Int[Tensor, "prompt 1"],
        mask_input: Float[Tensor, "prompt 1 number"] | None = None,
        multimask_output: bool = True,  # noqa: FBT001, FBT002 - as the generator calls it
        return_logits: bool = True,  # noqa: ARG002, FBT001, FBT002 - it always asks for logits
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert self._embedding is not None  # the generator has set the image
        prompts = DecoderPrompts(points.cpu().numpy(), labels.cpu().numpy(), None)
        if multimask_output:
            decoded = self._sam.decode(self._embedding, prompts.points, labels=prompts.labels)
            logits, sam_score = decoded.logits, decoded.sam_score
            inputs = torch.from_numpy(proposal_inputs(self._heads, decoded)).to(self.device)
            rows = inputs.reshape(*sam_score.shape, inputs.shape[1])
            if self.n_logits:
                rows = torch.cat([bounded(logits).flatten(-2), rows], -1)
        else:
            assert mask_input is not None  # only refinements ask for a single mask
            mask = mask_input[..., : self.n_logits].reshape(-1, 1, self._side, self._side)
            refined = DecoderPrompts(prompts.points, prompts.labels, mask.cpu().numpy())
            logits, sam_score = single_masks(
                self._sam, self._embedding, refined, self._postprocessing
            )
            rows = logits
        patched = on_image(self._postprocessing.patched(logits), self._embedding.filled)
        return at_image(patched, self._embedding.size_px), sam_score, rows
