"""A SAM2 model on a device: it encodes images and decodes prompts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from pipeline.sam.building import mask_side_px
from pipeline.sam.shared_decoder import SharedDecoder, SharedImage

Precision = Literal["fp32", "bf16"]

Pixels = UInt8[np.ndarray, "_ _ 3"] | Float32[np.ndarray, "_ _ 3"]
"""An image: bytes on the scale 0..255, floats on 0..1."""


_TOKENS: Final[ContextVar[Tensor]] = ContextVar("tokens")
"""Tokens of this thread's last call of a decoder: threads may share a model."""


class DeviceError(ValueError):
    """The requested device is not available."""


def select_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device.

    Raises
    ------
    DeviceError
        If the name is another, or ``cuda`` where there is no GPU.
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
    """An image as the encoder takes it, on the model's device."""

    pixels: Float[Tensor, "1 3 side side"]
    size_px: tuple[int, int]
    """Height and width of the image."""


@dataclass(frozen=True)
class Embedding:
    """An encoded image; every prompt of the image is decoded from it."""

    image: Float[Tensor, "1 channel rows cols"]
    high_res: tuple[Tensor, Tensor]
    """Levels of a finer resolution than ``image``, the finest first."""
    size_px: tuple[int, int]
    """Height and width of the encoded image."""
    shared: SharedImage
    """What prompt sets without a mask have in common."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the levels and of the tensors that prompt sets share."""
        shared = self.shared
        of_prompts = (*shared.keys, *shared.queries, shared.values, shared.coarse, shared.fine)
        tensors = (self.image, *self.high_res, shared.cells, *of_prompts)
        return sum(tensor.nbytes for tensor in tensors)

    def statistics(self) -> dict[str, Float32[Tensor, " encoder_channel"]]:
        """Mean and standard deviation of each channel over its level, by their names in the cache.

        The levels are the decoder's inputs, the finest first and ``image`` last.

        Notes
        -----
        Summed in double precision, so that neither the order of the sum nor the number of threads
        shows in the result. ``torch.std_mean`` takes five times as long.
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
    """Result of one decoder call, in decoder order; proposal k belongs to mask token k + 1."""

    logits: Float[Tensor, "prompt proposal y x"]
    """Logits of the three proposals, or of the single mask."""
    sam_score: Float[Tensor, "prompt proposal"]
    iou_token: Float[Tensor, "prompt channel"]
    mask_token: Float[Tensor, "prompt 4 channel"]
    object_score: Float[Tensor, " prompt"]

    @property
    def selected_logits(self) -> Float[Tensor, "prompt y x"]:
        """Logits of the proposal with the highest SamScore."""
        prompts = torch.arange(len(self.logits), device=self.logits.device)
        return self.logits[prompts, self.sam_score.argmax(dim=1)]


class Sam:
    """One SAM2 model on one device, whose weights it casts and moves there.

    ``sam2``'s decoder decodes prompt sets with a mask. A hook on its transformer reads the tokens,
    so that nothing of ``sam2`` is patched or copied. Threads may share a model.

    Parameters
    ----------
    mask_size_px
        Side to which low-resolution masks are resized; by default, the decoder's own.
    """

    def __init__(
        self,
        model: SAM2Base,
        *,
        device: torch.device,
        precision: Precision,
        mask_size_px: int | None = None,
    ) -> None:
        if device.type == "cuda":
            _compute_exactly()
        self.model = model.to(device).eval().requires_grad_(requires_grad=False)
        if precision == "bf16":
            _cast_encoder(model)
        self.device = device
        self.precision = precision
        self._shared_decoder = SharedDecoder(
            model.sam_mask_decoder,
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )
        self._decoder_mask_px = mask_side_px(model)
        self.mask_size_px = mask_size_px or self._decoder_mask_px
        """Side of the low-resolution masks."""
        model.sam_mask_decoder.transformer.register_forward_hook(_keep_tokens)
        mean, std = (
            torch.tensor(colour, device=device).view(1, 3, 1, 1)
            for colour in (model.pixel_mean, model.pixel_std)
        )
        self._mean, self._std = mean, std

    @property
    def image_size_px(self) -> int:
        """Side of the square that the encoder sees."""
        return int(self.model.image_size)

    @property
    def n_channels(self) -> int:
        """Token width."""
        return int(self.model.hidden_dim)

    def encode(self, rgb: Pixels) -> Embedding:
        """Embed an image: plain resize to the square, ImageNet normalisation, Hiera and FPN.

        Bytes are on the scale 0..255, floats on 0..1.
        """
        (embedding,) = self.encode_batch([rgb])
        return embedding

    def encode_batch(self, images: Sequence[Pixels]) -> list[Embedding]:
        """Embed images, whatever their sizes, in one call of the encoder."""
        return self.encode_squares([self.square(rgb) for rgb in images])

    @torch.inference_mode()
    def square(self, rgb: Pixels) -> Square:
        """Resize an image, and normalise it."""
        # Uploaded as bytes, a quarter of the size of floats.
        pixels = self.upload(rgb).permute(2, 0, 1)[None].float()
        if rgb.dtype == np.uint8:
            pixels = pixels / 255
        resized = nn.functional.interpolate(
            pixels, 2 * (self.image_size_px,), mode="bilinear", align_corners=False, antialias=True
        )
        return Square((resized - self._mean) / self._std, rgb.shape[:2])

    def encode_square(self, square: Square) -> Embedding:
        """Embed an image that has been resized."""
        (embedding,) = self.encode_squares([square])
        return embedding

    @torch.inference_mode()
    def encode_squares(self, squares: Sequence[Square]) -> list[Embedding]:
        """Embed images that have been resized in one call of the encoder."""
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

    def _embedding(
        self,
        image: Float[Tensor, "1 channel rows cols"],
        high_res: tuple[Tensor, Tensor],
        size_px: tuple[int, int],
    ) -> Embedding:
        prompts = self.model.sam_prompt_encoder
        _, dense = prompts(points=None, boxes=None, masks=None)
        shared = self._shared_decoder.share(
            image, dense=dense, position=prompts.get_dense_pe(), high_res=high_res
        )
        return Embedding(image, high_res, size_px, shared)

    def upload(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device, without waiting for the copy."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self._is_cuda else tensor

    def wait(self) -> None:
        """Wait until the device has done all queued work."""
        if self._is_cuda:
            torch.cuda.current_stream(self.device).synchronize()

    @property
    def _is_cuda(self) -> bool:
        return self.device.type == "cuda"

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
        """Decode prompt sets, one a row, in pixels (x, y) of the encoded image.

        All prompt sets of a call have the same number of clicks: padding a shorter one would add
        tokens that the transformer attends to.

        Parameters
        ----------
        points
            Clicks and corners of boxes; without any, there is one prompt set.
        labels
            0 background, 1 foreground, 2 and 3 the upper left and lower right corner of a box; by
            default, all are foreground.
        mask_input
            Logits of an earlier answer, one for each prompt set or one for all.
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
        sparse, _ = self._embed(embedding, points, labels, None)
        answer = self._shared_decoder.decode(
            embedding.shared, sparse, multimask_output=multimask_output
        )
        return self._decoded(*answer)

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
        """As ``decode``, by ``forward`` of ``sam2``'s decoder: slower, and for masks, too."""
        with self._autocast():
            sparse, dense = self._embed(embedding, points, labels, mask_input)
            logits, sam_score, _, object_score = self.model.sam_mask_decoder(
                image_embeddings=embedding.image,
                image_pe=self.model.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask_output,
                repeat_image=True,
                high_res_features=list(embedding.high_res),
            )
        return self._decoded(logits, sam_score, _TOKENS.get(), object_score)

    def _decoded(
        self, logits: Tensor, sam_score: Tensor, tokens: Tensor, object_score: Tensor
    ) -> Decoded:
        first = int(self.model.pred_obj_scores)
        return Decoded(
            _resized(logits.float(), self.mask_size_px),
            sam_score.float(),
            tokens[:, first].float(),
            tokens[:, first + 1 : first + 5].float(),
            object_score[:, 0].float(),
        )

    def _embed(
        self,
        embedding: Embedding,
        points: Float[np.ndarray, "prompt click 2"] | None,
        labels: Int[np.ndarray, "prompt click"] | None,
        mask_input: Float[np.ndarray, "_ 1 y x"] | None,
    ) -> tuple[Tensor, Tensor]:
        clicks = None
        if points is not None:
            size_px = np.array(embedding.size_px[::-1], np.float32)
            points_px = points.astype(np.float32) / size_px * np.float32(self.image_size_px)
            kinds = np.ones(points.shape[:2]) if labels is None else labels
            clicks = (self.upload(points_px), self.upload(kinds.astype(np.int32)))
        masks = None
        if mask_input is not None:
            masks = _resized(self.upload(mask_input.astype(np.float32)), self._decoder_mask_px)
        sparse, dense = self.model.sam_prompt_encoder(clicks, boxes=None, masks=masks)
        # The prompt encoder joins its tokens to an empty tensor of the caller's default dtype.
        return sparse.float(), dense

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def _keep_tokens(_module: nn.Module, _inputs: object, output: Any) -> None:  # noqa: ANN401
    _TOKENS.set(output[0])


def _resized(logits: Float[Tensor, "*batch n y x"], side_px: int) -> Float[Tensor, "*batch n _ _"]:
    """Logits resized to a side; untouched where they have it."""
    if logits.shape[-1] == side_px:
        return logits
    return nn.functional.interpolate(
        logits, 2 * (side_px,), mode="bilinear", align_corners=False, antialias=True
    )


def _cast_encoder(model: SAM2Base) -> None:
    """Cast the weights of the encoder's layers that autocast computes in bf16.

    Autocast keeps its casts only of weights that require gradients, so that inference would cast
    them again for every image: 116 of the 552 calls of ``sam2.1 tiny``.
    """
    decoder = model.sam_mask_decoder
    for part in (model.image_encoder, decoder.conv_s0, decoder.conv_s1):
        for layer in part.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                layer.to(torch.bfloat16)


def _compute_exactly() -> None:
    """Make CUDA compute in the stated precision, and the same on every run.

    By default, single-precision convolutions run in TF32, with a mantissa of 10 bits, and cuDNN
    may choose an algorithm that sums in a different order each time.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
