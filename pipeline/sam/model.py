"""Runs a SAM2 model on a device: encodes images and decodes prompts."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from PIL import Image
from sam2.modeling.backbones.image_encoder import ImageEncoder
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from pipeline.embeddings import LEVELS, SUFFIXES, LevelType, StoredEmbedding
from pipeline.sam.building import mask_side_px
from pipeline.sam.points import PointEncoder
from pipeline.sam.shared_decoder import SharedDecoder, SharedImage
from pipeline.upsampling import Filled, low_res_on_image

Precision = Literal["fp32", "bf16"]

Pixels = UInt8[np.ndarray, "_ _ 3"] | Float32[np.ndarray, "_ _ 3"]
"""An RGB image: bytes on the scale 0..255, or floats on the scale 0..1."""


_TOKENS: Final[ContextVar[Tensor]] = ContextVar("tokens")
"""Output tokens of the last decoder call of the current thread: threads may share a model."""


class DeviceError(ValueError):
    """Raised if a device has an unknown name, or is not available."""


def select_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device; ``auto`` is the GPU if there is one.

    Raises a DeviceError if the name is not one of the three, or is ``cuda`` without a GPU.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name not in {"cpu", "cuda"}:
        raise DeviceError(f"device must be one of auto, cpu, cuda, got {name!r}")
    if name == "cuda" and not has_cuda:
        raise DeviceError("device must be auto or cpu where torch sees no GPU, got 'cuda'")
    return torch.device(name)


@dataclass(frozen=True)
class Square:
    """An image resized to the encoder's square and normalised, on the model's device."""

    pixels: Float[Tensor, "1 3 side side"]
    size_px: tuple[int, int]
    """Height and width of the image before it was resized."""


@dataclass(frozen=True)
class Embedding:
    """Output of the image encoder for an image; masks for any prompt are decoded from it."""

    image: Float[Tensor, "1 channel rows cols"]
    high_res: tuple[Tensor, Tensor]
    """Levels of the encoder with a finer resolution than ``image``, the finest first."""
    size_px: tuple[int, int]
    """Height and width of the image before it was resized."""
    shared: SharedImage
    """Tensors that the decoder computes once for all prompt sets without a mask."""
    filled: Filled | None = None
    """Part of the square that the image fills; None if it fills the square."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the tensors of this image, without those in ``shared`` that all images share."""
        shared = self.shared
        of_prompts = shared.keys[0], shared.queries[0], shared.values, shared.coarse, shared.fine
        tensors = (self.image, *self.high_res, shared.cells, *of_prompts)
        return sum(tensor.nbytes for tensor in tensors)

    def levels(self) -> dict[str, np.ndarray]:
        """Arrays ``(channel, row, column)`` of the levels, by the names of ``level_names``.

        An array of type uint16 holds the bits of bfloat16 numbers.
        """
        levels: dict[str, np.ndarray] = {}
        for name, tensor in zip(LEVELS, (*self.high_res, self.image), strict=True):
            level = tensor[0].cpu()
            suffix = SUFFIXES[cast("LevelType", str(level.dtype).removeprefix("torch."))]
            # NumPy has no bfloat16.
            bits = level.view(torch.uint16) if level.dtype == torch.bfloat16 else level
            levels[f"{name}{suffix}"] = bits.numpy()
        return levels

    @cached_property
    def statistics(self) -> Mapping[str, Float32[Tensor, " encoder_channel"]]:
        """Mean and standard deviation of each channel over all places of the image's levels.

        The keys are ``encoder_mean`` and ``encoder_std``, the names in the cache. The channels are
        those of ``high_res``, the finest level first, then those of ``image``. Sums are in double
        precision, so that neither their order nor the number of threads changes the result.
        ``torch.std_mean`` takes five times as long.
        """
        levels = [level[0].flatten(1).double() for level in (*self.high_res, self.image)]
        means = [level.mean(1, keepdim=True) for level in levels]
        variances = [
            (level - mean).square().mean(1) for level, mean in zip(levels, means, strict=True)
        ]
        return {
            "encoder_mean": torch.cat(means)[:, 0].float(),
            "encoder_std": torch.cat(variances).sqrt().float(),
        }


@dataclass(frozen=True)
class Decoded:
    """Result of one decoder call: logits of masks, SamScores, tokens and object scores.

    Proposals are in decoder order. Proposal k of three belongs to mask token k + 1; the single mask
    belongs to mask token 0.
    """

    logits: Float[Tensor, "prompt proposal y x"]
    """Low-resolution logits of the three proposals, or of the single mask."""
    sam_score: Float[Tensor, "prompt proposal"]
    iou_token: Float[Tensor, "prompt channel"]
    mask_token: Float[Tensor, "prompt 4 channel"]
    object_score: Float[Tensor, " prompt"] | None
    """None if the model predicts none."""
    embedding: Embedding | None = None
    """The image from which the masks were decoded; None for an answer of other code."""

    @property
    def filled(self) -> Filled | None:
        """Part of the square that the image fills; None if it fills the square."""
        return self.embedding.filled if self.embedding else None

    @property
    def logits_on_image(self) -> Float[Tensor, "prompt proposal y x"]:
        """Logits that cover the image alone, of the same size.

        Statistics, entropies and views are about such logits.
        """
        return low_res_on_image(self.logits, self.filled)

    @property
    def selected_logits(self) -> Float[Tensor, "prompt y x"]:
        """Logits of the proposal with the highest SamScore."""
        prompts = torch.arange(len(self.logits), device=self.logits.device)
        return self.logits[prompts, self.sam_score.argmax(dim=1)]


class Sam:
    """A SAM2 model on a device, for images alone; threads may share it.

    The model is changed: its weights are moved to the device and cast for ``bf16``, and position
    codes that only video needs are left out. A device ``cuda`` also turns TF32 and the search for
    the fastest algorithm off in the whole process, so that results repeat.

    ``SharedDecoder`` decodes prompt sets without a mask; ``sam2``'s decoder decodes prompt sets
    with a mask. A hook on the transformer of ``sam2`` reads the tokens, so that nothing of ``sam2``
    is patched or copied.

    Parameters
    ----------
    model
        A model from ``build``, with its weights loaded.
    device
        Device of the model, see ``select_device``; ``cuda`` is the current GPU of this thread.
    precision
        ``fp32``, or ``bf16`` for the encoder and the image tokens of the decoder.
    """

    def __init__(self, model: SAM2Base, *, device: torch.device, precision: Precision) -> None:
        if device.type == "cuda":
            _compute_exactly()
        self.model = model.to(device).eval().requires_grad_(requires_grad=False)
        if isinstance(model.image_encoder, ImageEncoder):
            # Position codes of the levels serve video only: 90 MB an image of 1024 px.
            model.image_encoder.neck.position_encoding = nn.Identity()
        if precision == "bf16":
            _cast_encoder(model)
        # With its number: "cuda" alone is the current GPU, of which each thread has its own.
        self.device: torch.device = next(self.model.parameters()).device
        self._is_cuda = device.type == "cuda"
        self.precision = precision
        with torch.inference_mode():
            self._shared_decoder = SharedDecoder(
                model.sam_mask_decoder,
                position=model.sam_prompt_encoder.get_dense_pe(),
                dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            )
        self._point_encoder = PointEncoder(model.sam_prompt_encoder, pads_boxes=model.pads_boxes)
        self.image_size_px = int(model.image_size)
        """Side of the square image that the encoder takes."""
        self.mask_size_px = mask_side_px(model)
        """Side of the low-resolution masks that ``decode`` returns."""
        self.n_channels = int(model.hidden_dim)
        """Number of channels of a token."""
        self.has_object_score = bool(model.pred_obj_scores)
        """Whether the decoder predicts a logit for there being an object."""
        model.sam_mask_decoder.transformer.register_forward_hook(_keep_tokens)
        colours = torch.tensor([model.pixel_mean, model.pixel_std], device=device)
        self._mean, self._std = colours.view(2, 1, 3, 1, 1)

    def is_padded_by_point(self, labels: Int[np.ndarray, "prompt click"] | None) -> bool:
        """Whether a point that only pads ends the prompt sets: the same for all of a call."""
        return labels is not None and self._point_encoder.pads(labels)

    def encode(self, rgb: Pixels) -> Embedding:
        """Encode an image: resize it to the square, normalise its colours, run the encoder."""
        (embedding,) = self.encode_batch([rgb])
        return embedding

    def encode_batch(self, images: Sequence[Pixels]) -> list[Embedding]:
        """Encode images, which may differ in size, in one call of the encoder, in their order."""
        return self.encode_squares([self.square(rgb) for rgb in images])

    @torch.inference_mode()
    def square(self, rgb: Pixels) -> Square:
        """Resize an image to the encoder's square, or pad it to the square; normalise colours."""
        size_px = rgb.shape[0], rgb.shape[1]
        if self.model.is_padded:
            rgb = _resized(rgb, self._filled_px(size_px))
        # Upload bytes, which are a quarter of the size of floats.
        pixels = self.upload(rgb).permute(2, 0, 1)[None].float()
        if rgb.dtype == np.uint8:
            pixels = pixels / 255
        if not self.model.is_padded:
            pixels = nn.functional.interpolate(
                pixels,
                2 * (self.image_size_px,),
                mode="bilinear",
                align_corners=False,
                antialias=True,
            )
        normed = (pixels - self._mean) / self._std
        if self.model.is_padded:
            below, right = (self.image_size_px - side for side in normed.shape[2:])
            normed = nn.functional.pad(normed, (0, right, 0, below))
        return Square(normed, size_px)

    def _filled_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Height and width of an image in the encoder's square."""
        side = self.image_size_px
        if not self.model.is_padded:
            return side, side
        height, width = (int(n * (side / max(size_px)) + 0.5) for n in size_px)
        return height, width

    def encode_square(self, square: Square) -> Embedding:
        """Encode an image that ``square`` resized and normalised."""
        (embedding,) = self.encode_squares([square])
        return embedding

    @torch.inference_mode()
    def encode_squares(self, squares: Sequence[Square]) -> list[Embedding]:
        """Encode images that ``square`` resized and normalised, in one call of the encoder."""
        with self._autocast():
            pixels = torch.cat([square.pixels for square in squares])
            levels = self.model.forward_image(pixels)["backbone_fpn"]
        top = levels[-1]
        if self.model.directly_add_no_mem_embed:
            top = top + self.model.no_mem_embed.view(1, -1, 1, 1)
        places = [slice(i, i + 1) for i in range(len(squares))]
        return [
            self._embedding(top[i], (levels[0][i], levels[1][i]), square.size_px)
            for i, square in zip(places, squares, strict=True)
        ]

    @torch.inference_mode()
    def restore(self, stored: StoredEmbedding) -> Embedding:
        """Make an embedding from its levels in a store, without running the encoder.

        Decoding gives the same bits as before. The levels must be by this model, which is not
        checked.
        """
        finest, finer, image = (self._level(array) for array in stored.in_order)
        return self._embedding(image, (finest, finer), stored.size_px)

    def _level(self, array: np.ndarray) -> Tensor:
        level = self.upload(array)[None]
        return level.view(torch.bfloat16) if level.dtype == torch.uint16 else level

    def _embedding(
        self,
        image: Float[Tensor, "1 channel rows cols"],
        high_res: tuple[Tensor, Tensor],
        size_px: tuple[int, int],
    ) -> Embedding:
        # Sums may depend on the order of numbers in memory, and stores keep no such order.
        image, high_res = image.contiguous(), (high_res[0].contiguous(), high_res[1].contiguous())
        shared = self._shared_decoder.share(image, dense=self._dense(None), high_res=high_res)
        filled = (self.image_size_px, *self._filled_px(size_px)) if self.model.is_padded else None
        return Embedding(image, high_res, size_px, shared, filled)

    def upload(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device, without waiting for the copy; a CPU shares its memory."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self._is_cuda else tensor

    def wait(self) -> None:
        """Wait until a GPU has done all queued work; a CPU has none."""
        if self._is_cuda:
            torch.cuda.current_stream(self.device).synchronize()

    @torch.inference_mode()
    def decode(
        self,
        embedding: Embedding,
        points: Float[np.ndarray, "prompt click 2"] | None,
        *,
        labels: Int[np.ndarray, "prompt click"] | None = None,
        mask_input: Float[np.ndarray, "_ 1 y x"] | None = None,
        multimask_output: bool = True,
    ) -> Decoded:
        """Decode prompt sets: return masks, scores and tokens for each row of ``points``.

        All prompt sets of a call must have the same number of points: padding a shorter prompt set
        would add tokens that the transformer attends to. Points and labels are not checked.

        Parameters
        ----------
        embedding
            Embedding of the image by this model.
        points
            Clicks and corners of boxes (x, y), in pixels of the image before it was resized. None
            stands for a single prompt set without points.
        labels
            Label of each point: 0 background, 1 foreground, 2 and 3 the upper left and lower right
            corner of a box. By default, all points are foreground.
        mask_input
            Logits of an earlier mask of this model: one for each prompt set, or one for all.
        multimask_output
            Whether to return three proposals instead of the single mask.
        """
        if mask_input is not None:
            return self.decode_plainly(
                embedding,
                points,
                labels=labels,
                mask_input=mask_input,
                multimask_output=multimask_output,
            )
        sparse = self._points(embedding, points, labels)
        answer = self._shared_decoder.decode(
            embedding.shared, sparse, multimask_output=multimask_output
        )
        return self._decoded(*answer, embedding)

    @torch.inference_mode()
    def decode_plainly(
        self,
        embedding: Embedding,
        points: Float[np.ndarray, "prompt click 2"] | None,
        *,
        labels: Int[np.ndarray, "prompt click"] | None = None,
        mask_input: Float[np.ndarray, "_ 1 y x"] | None = None,
        multimask_output: bool = True,
    ) -> Decoded:
        """Decode as ``decode`` does, by ``forward`` of ``sam2``'s decoder.

        It is slower than ``SharedDecoder``, but takes a ``mask_input``.
        """
        with self._autocast():
            logits, sam_score, _, object_score = self.model.sam_mask_decoder(
                image_embeddings=embedding.image,
                image_pe=self.model.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=self._points(embedding, points, labels),
                dense_prompt_embeddings=self._dense(mask_input),
                multimask_output=multimask_output,
                repeat_image=True,
                high_res_features=list(embedding.high_res),
            )
        return self._decoded(logits, sam_score, _TOKENS.get(), object_score, embedding)

    def _decoded(
        self,
        logits: Tensor,
        sam_score: Tensor,
        tokens: Tensor,
        object_score: Tensor | None,
        embedding: Embedding,
    ) -> Decoded:
        first = int(self.has_object_score)
        if not self.model.iou_prediction_use_sigmoid:
            # SAM 1 and SAM 3.1 may predict an IoU below 0: no weight of a proposal (Eq. 10).
            sam_score = sam_score.clamp(min=0)
        return Decoded(
            logits.float(),
            sam_score.float(),
            tokens[:, first].float(),
            tokens[:, first + 1 : first + 5].float(),
            object_score[:, 0].float() if first and object_score is not None else None,
            embedding,
        )

    def _points(
        self,
        embedding: Embedding,
        points: Float[np.ndarray, "prompt click 2"] | None,
        labels: Int[np.ndarray, "prompt click"] | None,
    ) -> Float[Tensor, "prompt point channel"]:
        """Embed the points of prompt sets; a single prompt set without points has no row.

        Without ``labels``, all points are foreground.
        """
        if points is None:
            return torch.zeros(1, 0, self.n_channels, dtype=torch.float32, device=self.device)
        size_px = np.array(embedding.size_px[::-1], np.float32)
        filled_px = np.array(self._filled_px(embedding.size_px)[::-1], np.float32)
        points_px = points.astype(np.float32) / size_px * filled_px
        labels = np.ones(points.shape[:2], np.int64) if labels is None else labels
        places, rows = self._point_encoder.prepare(points_px, labels)
        return self._point_encoder.embed(self.upload(places), self.upload(rows))

    def _dense(
        self, mask_input: Float[np.ndarray, "_ 1 y x"] | None
    ) -> Float[Tensor, "_ channel rows cols"]:
        masks = None if mask_input is None else self.upload(mask_input.astype(np.float32))
        _, dense = self.model.sam_prompt_encoder(points=None, boxes=None, masks=masks)
        return cast("Tensor", dense)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def _keep_tokens(_module: nn.Module, _inputs: object, output: Any) -> None:  # noqa: ANN401
    _TOKENS.set(output[0])


def _resized(rgb: Pixels, size_px: tuple[int, int]) -> Pixels:
    """Resize an image as SAM 1 does: bilinearly by Pillow, whose bytes are rounded."""
    height, width = size_px
    if rgb.dtype == np.uint8:
        return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
    channels = [
        Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR)
        for channel in np.moveaxis(rgb, 2, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)


def _cast_encoder(model: SAM2Base) -> None:
    """Cast the weights of the encoder's layers that autocast computes in bf16.

    The layers ``conv_s0`` and ``conv_s1`` of the decoder belong to them: the encoder's finer levels
    pass through these. Autocast caches its casts only of weights that require gradients, so it
    would cast the weights again for every image: 116 of the 552 calls of ``sam2.1 tiny``.
    """
    decoder = model.sam_mask_decoder
    for part in (model.image_encoder, decoder.conv_s0, decoder.conv_s1):
        for layer in part.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                layer.to(torch.bfloat16)


def _compute_exactly() -> None:
    """Make CUDA compute in full single precision, and give the same result on every run.

    By default, single-precision convolutions run in TF32, with a mantissa of 10 bits, and cuDNN
    may choose an algorithm that sums in a different order each time.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
