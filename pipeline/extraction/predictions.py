"""Decodes all prompt sets of an image's objects: tokens, scores, mask statistics and mask codes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import softplus

from pipeline.extraction.iou import iou_arrays
from pipeline.heads.kinds import HeadKind
from pipeline.masks import FIRST_FOREGROUND_CODE, N_CODES
from pipeline.prompt_kinds import BOX, PromptKind, calls_of
from pipeline.prompts import central_error
from pipeline.sam.model import Decoded, Embedding, Sam
from pipeline.upsampling import masks_at_image, on_image
from pipeline.views import View, default_view, map_points, scene_in_view, unview
from pipeline.vocabulary import PROPOSAL_PAIRS, has_cuts

Rows = dict[str, np.ndarray]
"""Arrays of consecutive objects by their names in the cache."""


@dataclass(frozen=True)
class Request:
    """The objects of one image in one view, and the prompt sets that a model answers for each.

    Attributes
    ----------
    points
        Clicks (x, y) in pixels of the unaugmented image, in the order of ``SINGLE_CLICKS``.
    ground_truth
        True masks of the objects.
    prompts
        Names of the prompt sets, see ``PROMPT_KINDS``.
    """

    points: Int[np.ndarray, "object 8 2"]
    ground_truth: Bool[np.ndarray, "object height width"]
    view: View
    prompts: tuple[str, ...]

    @cached_property
    def places(self) -> dict[str, Float[np.ndarray, "object point 2"]]:
        """Points (x, y) of each prompt set on every object, by prompt set, in pixels of the view.

        Corrections are not among them: they follow from the model's answers.
        """
        return {kind.name: self._places(kind) for call in calls_of(self.prompts) for kind in call}

    def _places(self, kind: PromptKind) -> Float[np.ndarray, "object point 2"]:
        height, width = self.ground_truth.shape[1:]
        objects = zip(self.points, self.ground_truth, strict=True)
        points = np.stack([kind.points_of(clicks, truth) for clicks, truth in objects])
        in_view = map_points(points, self.view, height_px=height, width_px=width)
        # A flip exchanges the corners of a box.
        is_corner = np.isin(kind.labels, BOX)
        in_view[:, is_corner] = np.sort(in_view[:, is_corner], axis=1)
        return in_view


def request_in(
    view: View,
    points: Int[np.ndarray, "object 8 2"],
    ground_truth: Bool[np.ndarray, "object height width"],
    prompts: tuple[str, ...],
) -> Request:
    """Make the request for objects of an image in a view; the other arguments are its attributes.

    A view that maps masks is an image of its own, with other clicks and true masks: its request is
    that of the view ``identity`` of this image.
    """
    if view.kind.map_masks is None:
        return Request(points, ground_truth, view, prompts)
    return Request(*scene_in_view(points, ground_truth, view), default_view("identity"), prompts)


@dataclass(frozen=True)
class Targets:
    """Places of the answers of a decoder call in arrays ``(object, prompt, ...)``.

    For each decoded prompt set, they are the index of its object, and the index (column) of its
    name in ``Request.prompts``.
    """

    objects: Int[np.ndarray, " prompt"]
    columns: Int[np.ndarray, " prompt"]


@dataclass(frozen=True)
class DecoderCall:
    """Points and labels of the prompt sets of a decoder call, and the places of their answers."""

    targets: Targets
    points: Float[np.ndarray, "prompt point 2"]
    labels: Int[np.ndarray, "prompt point"]
    n_corrections: int
    """Number of clicks to add one by one, each where the selected mask is wrong."""


DecodedCall = tuple[Targets, Decoded]
"""The model's answer to a decoder call or, on a GPU, to several, and the places of its rows."""

ScoredCall = tuple[Targets, dict[str, Tensor]]
"""The arrays computed from a decoded call, by their names in the cache, and their places."""

Apply = Callable[[Callable[[DecodedCall], ScoredCall], Iterable[DecodedCall]], Iterable[ScoredCall]]
"""Applies a function to every decoder call: ``map``, or a pool that scores one call while the next
is decoded."""


def extract_objects(
    sam: Sam,
    embedding: Embedding,
    request: Request,
    *,
    batch: int,
    with_masks: bool,
    apply: Apply = map,
) -> Rows:
    """Decode every prompt set of every object of an image, and score the masks.

    Raises a PromptError if the points of a prompt set do not fit its labels or lie outside of the
    image.

    Parameters
    ----------
    embedding
        The image, encoded in the request's view.
    batch
        Prompt sets per decoder call.
    with_masks
        Whether the rows hold ``mask_code``.
    apply
        Applies a function that scores and codes masks to every decoder call.

    Returns
    -------
    ``sam_score``, ``iou``, ``iou_token``, ``mask_token``, ``object_score``, the arrays of
    ``mask_statistics``, where ``has_cuts`` also ``iou_at_cut`` and ``stability_score``, and, if
    asked for, ``mask_code``: arrays ``(object, prompt, ...)`` in decoder order. The image's
    ``encoder_mean`` and ``encoder_std``, ``(object, encoder_channel)``, repeat for each object.
    """
    truth = sam.upload(request.ground_truth)
    with_cuts = has_cuts(request.view.name, request.prompts)

    def scored(decoded_call: DecodedCall) -> ScoredCall:
        targets, decoded = decoded_call
        large = unview(on_image(decoded.logits, decoded.filled), request.view)
        ious = iou_arrays(large, truth[sam.upload(targets.objects)], with_cuts=with_cuts)
        logits = unview(decoded.logits_on_image, request.view)
        arrays = _answers(decoded) | ious | mask_statistics(logits)
        if with_masks:
            arrays["mask_code"] = encode_logits(logits)
        return targets, arrays

    decoded: Iterable[DecodedCall] = (
        (call.targets, _decode(sam, embedding, request, call))
        for call in _decoder_calls(request, batch)
    )
    if sam.device.type != "cpu":
        decoded = _joined(decoded, batch)
    shape = len(request.points), len(request.prompts)
    collected = Collected(shape, wait=None if sam.device.type == "cpu" else sam.wait)
    for call in apply(scored, decoded):
        collected.add(call)
    statistics = {name: _fetched([row]) for name, row in embedding.statistics.items()}
    rows = collected.rows()  # waits for the statistics, too
    return rows | {
        name: np.tile(row.numpy(), (len(request.points), 1)) for name, row in statistics.items()
    }


class Collected:
    """Collects the arrays of decoder calls in arrays ``(object, prompt, ...)``.

    On a CPU, the arrays of a call are copied at once. On a GPU, the tensors of all calls stay there
    until the end and then come through pinned memory: each transfer waits for all work queued
    before it. ``shape`` has the numbers of objects and of prompt sets; ``wait`` waits for the GPU,
    None on a CPU.
    """

    def __init__(self, shape: tuple[int, int], *, wait: Callable[[], None] | None) -> None:
        self._shape = shape
        self._wait = wait
        self._rows: Rows = {}
        self._calls: list[ScoredCall] = []

    def add(self, call: ScoredCall) -> None:
        """Add the arrays of one scored decoder call, at the places of its prompt sets."""
        if self._wait is None:
            self._fill([call])
        else:
            self._calls.append(call)

    def rows(self) -> Rows:
        """Arrays of all added calls, by their names in the cache; waits for the GPU.

        Rows of objects and prompt sets that were not added are undefined.
        """
        if self._calls:
            self._fill(self._calls)
        return self._rows

    def _fill(self, calls: Sequence[ScoredCall]) -> None:
        objects = np.concatenate([targets.objects for targets, _ in calls])
        columns = np.concatenate([targets.columns for targets, _ in calls])
        fetched = {name: _fetched([arrays[name] for _, arrays in calls]) for name in calls[0][1]}
        if self._wait is not None:
            self._wait()
        for name, tensor in fetched.items():
            values = tensor.numpy()
            shape = (*self._shape, *values.shape[1:])
            self._rows.setdefault(name, np.empty(shape, values.dtype))[objects, columns] = values


def _joined(calls: Iterable[DecodedCall], n_prompts: int) -> Iterator[DecodedCall]:
    """Yield successive decoded calls joined, at most ``n_prompts`` prompt sets together.

    A GPU scores joined calls with as many kernels as one call.
    """
    joined: list[DecodedCall] = []
    for call in calls:
        if sum(len(targets.objects) for targets, _ in (*joined, call)) > n_prompts and joined:
            yield _as_one(joined)
            joined = []
        joined.append(call)
    if joined:
        yield _as_one(joined)


def _as_one(calls: Sequence[DecodedCall]) -> DecodedCall:
    if len(calls) == 1:
        return calls[0]
    targets = Targets(
        np.concatenate([targets.objects for targets, _ in calls]),
        np.concatenate([targets.columns for targets, _ in calls]),
    )
    first = calls[0][1]
    joined: dict[str, Any] = {
        name: torch.cat([getattr(decoded, name) for _, decoded in calls])
        for name, array in vars(first).items()
        if isinstance(array, Tensor)
    }
    return targets, replace(first, **joined)


def _fetched(tensors: Sequence[Tensor]) -> Tensor:
    joined = torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
    # A copy that nobody waits for goes to pinned memory.
    return joined.to("cpu", non_blocking=True)


def encode_logits(logits: Float[Tensor, "*batch y x"]) -> UInt8[Tensor, "*batch y x"]:
    """Code logits as bytes: ``pipeline.masks.encode(sigmoid(logits))``, up to rounding.

    A logit above 0, however small, is coded as foreground. asin(sqrt(sigmoid(z))) = atan(exp(z /
    2)) saves two functions on the largest array of all.
    """
    code = (torch.atan(torch.exp(logits / 2)) * ((N_CODES - 1) * 2 / torch.pi)).round_()
    first = FIRST_FOREGROUND_CODE
    return torch.where(logits > 0, code.clamp(min=first), code.clamp(max=first - 1)).to(torch.uint8)


def _decoder_calls(request: Request, batch: int) -> Iterator[DecoderCall]:
    """Yield the prompt sets of a request in decoder calls of at most ``batch`` prompt sets.

    Prompt sets with different numbers of points cannot share a call, see ``Sam.decode``.
    """
    objects_of_image = range(len(request.points))
    for kinds in calls_of(request.prompts):
        objects = np.repeat(objects_of_image, len(kinds))
        columns = np.tile(
            [request.prompts.index(kind.name) for kind in kinds], len(objects_of_image)
        )
        points = np.concatenate(np.stack([request.places[kind.name] for kind in kinds], axis=1))
        labels = np.tile([kind.labels for kind in kinds], (len(objects_of_image), 1))
        for start in range(0, len(objects), batch):
            rows = slice(start, start + batch)
            targets = Targets(objects[rows], columns[rows])
            yield DecoderCall(targets, points[rows], labels[rows], kinds[0].n_corrections)


def _decode(sam: Sam, embedding: Embedding, request: Request, call: DecoderCall) -> Decoded:
    """Decode the prompt sets of a call; for each correction, add a click and decode again."""
    points, labels = call.points, call.labels
    decoded = sam.decode(embedding, points, labels=labels)
    for _ in range(call.n_corrections):
        clicks, is_missed = _corrections(decoded, request, call.targets.objects)
        points = np.concatenate([points, clicks[:, np.newaxis]], axis=1)
        labels = np.concatenate([labels, is_missed[:, np.newaxis]], axis=1)
        decoded = sam.decode(embedding, points, labels=labels)
    return decoded


def _corrections(
    decoded: Decoded, request: Request, objects: Int[np.ndarray, " prompt"]
) -> tuple[Float[np.ndarray, "prompt 2"], Int[np.ndarray, " prompt"]]:
    """For each prompt set, a click (x, y) where its selected mask is wrong, and the click's label.

    The click is in pixels of the view. Its label is 1 on the object and 0 beside it. ``objects``
    has the index of each prompt set's object in the request.
    """
    height, width = request.ground_truth.shape[1:]
    clicks, labels = [], []
    selected = unview(on_image(decoded.selected_logits[:, None], decoded.filled), request.view)
    masks = masks_at_image(selected, (height, width))[:, 0]
    for mask, truth in zip(masks, request.ground_truth[objects], strict=True):
        x, y = central_error(mask, truth)
        clicks.append((x, y))
        labels.append(int(truth[y, x]))
    in_view = map_points(np.array(clicks), request.view, height_px=height, width_px=width)
    return in_view, np.array(labels)


def _answers(decoded: Decoded) -> dict[str, Tensor]:
    arrays = {
        "sam_score": decoded.sam_score,
        "iou_token": decoded.iou_token,
        "mask_token": decoded.mask_token,
    }
    if decoded.object_score is not None:
        arrays["object_score"] = decoded.object_score
    return arrays


_LN2: Final = float(np.log(2))


def mask_statistics(logits: Float[Tensor, "prompt proposal y x"]) -> dict[str, Tensor]:
    """Compute ``MASK_STATISTICS`` of every proposal and of every pair of proposals.

    ``logits`` are of the low-resolution masks, in the unaugmented frame.

    Returns
    -------
    Arrays by their names in the cache: ``area``, ``mask_entropy`` and ``confidence`` of shape
    ``(prompt, proposal)``; ``agreement`` of shape ``(prompt, pair)``, in the order of
    ``PROPOSAL_PAIRS``.

    Notes
    -----
    Let p be the foreground probability of a pixel, before it is coded as a byte, and m = [p > 0.5].
    ``area`` is the mean of p. ``mask_entropy`` is sum(p h2(p)) / sum(p) in bits (Eq. 3).
    ``confidence`` is the soft Dice confidence 2 sum(p m) / sum(p + m) (arXiv 2402.10665).
    ``agreement`` is the soft Dice 2 sum(p q) / sum(p^2 + q^2) of two proposals p and q, which is 1
    for equal proposals. Each is 0 where its divisor is 0.
    """
    flat = logits.flatten(-2)
    p = flat.sigmoid()
    total = p.sum(-1)
    # p h2(p) in nats: -ln p = softplus(-z) = softplus(z) - z and -ln(1 - p) = softplus(z).
    entropy = (p * (softplus(flat) - p * flat)).sum(-1) / _LN2
    is_inside = flat > 0
    shared = torch.where(is_inside, p, 0).sum(-1)
    products = torch.matmul(p, p.mT)
    squares = products.diagonal(dim1=-2, dim2=-1)
    pairs = [(products[:, i, j], squares[:, i] + squares[:, j]) for i, j in PROPOSAL_PAIRS]
    shares, sums = (torch.stack(side, dim=1) for side in zip(*pairs, strict=True))
    return {
        "area": total / flat.shape[-1],
        "mask_entropy": _ratio(entropy, total),
        "confidence": _ratio(2 * shared, total + is_inside.sum(-1)),
        "agreement": _ratio(2 * shares, sums),
    }


def arrays_for_heads(decoded: Decoded, kind: HeadKind) -> dict[str, np.ndarray]:
    """Arrays that heads of a kind read, by their names in the cache; a row for each prompt set.

    ``iou`` is unknown without a ground truth, and set to 0. Statistics of the masks, and of the
    image, are left out for kinds of heads without the inputs ``figures`` and ``image``.
    """
    tensors = _answers(decoded) | {"iou": torch.zeros_like(decoded.sam_score)}
    if "figures" in kind.inputs:
        tensors |= mask_statistics(decoded.logits_on_image)
    if "image" in kind.inputs and decoded.embedding:
        statistics = decoded.embedding.statistics.items()
        tensors |= {name: row.expand(len(decoded.logits), -1) for name, row in statistics}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _ratio(
    dividend: Float[Tensor, "prompt part"], divisor: Float[Tensor, "prompt part"]
) -> Float[Tensor, "prompt part"]:
    return dividend / divisor.clamp(min=torch.finfo(divisor.dtype).tiny)
