"""Requests of the page of ``usam review``: masks of the queue, and decisions about them."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, cast

import cv2
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from jaxtyping import Bool
from starlette.exceptions import HTTPException

from pipeline.predictor import UncertainPredictor
from pipeline.predictor.advice import Costs
from pipeline.predictor.pictures import draw_mask
from pipeline.vocabulary import N_PROPOSALS
from stages.predictor.answers import image_reader
from stages.review.decisions import SKIP, Decision
from stages.review.queue import Candidate, ReviewQueue
from stages.web import downloads, messages, open_images
from stages.web.page_state import PageState
from storage.datasets.coco import EVERYTHING, CocoPrompt
from storage.datasets.object_records import ImageRecord
from storage.errors import counted
from storage.rle import area_rle

MARGIN: Final = 0.5
"""Part of the longer side of a mask's box that a thumbnail shows around it."""

router: Final = APIRouter(prefix="/api/review", include_in_schema=False)


class DecisionRequest(messages.Strict):
    """A person's decision about a mask of the queue, with the prompt of a mask that replaces it."""

    decision: Literal["keep", "replace", "redraw", "remove", "skip"]
    """``replace``: the chosen proposal of ``object`` replaces the mask."""
    object: downloads.ObjectPrompt | None = None
    """Prompt and proposal on the page."""


class ReviewState:
    """State of a review's page: the queue of masks, and the names of its open images.

    The images themselves are in ``PageState.images``.
    """

    def __init__(self, queue: ReviewQueue) -> None:
        self.queue = queue
        self.start = secrets.token_urlsafe(8)
        """Random name of this start of the server: ranks of another start may be of other masks."""
        self._names: dict[str, str] = {}
        self._opening = asyncio.Lock()
        source = queue.source
        records = [image.image for image in source.prompted]
        self._read = image_reader(source.images, records, source.digests)

    async def open_image(
        self, page: PageState, record: ImageRecord
    ) -> tuple[str, open_images.OpenImage]:
        """Open an image of the queue, unless it is open; return its random name, and the image."""
        if opened := self._if_open(page, record):
            return opened
        async with self._opening:  # the thumbnails of an image ask for it at the same time
            if opened := self._if_open(page, record):
                return opened
            image = await page.decoder.run(partial(self._opened, record))
            name = self._names[record.file] = page.images.add(image)
            return name, image

    def _if_open(
        self, page: PageState, record: ImageRecord
    ) -> tuple[str, open_images.OpenImage] | None:
        name = self._names.get(record.file, "")
        image = page.images.get(name)
        return None if image is None else (name, image)

    def _opened(self, record: ImageRecord) -> open_images.OpenImage:
        # Not by ``open_images.decode``: its limits of format and size are for uploads, and would
        # refuse an image that was segmented.
        return open_images.OpenImage(self._read(record))


def _parts(request: Request) -> tuple[PageState, ReviewState]:
    app = request.app
    return cast("PageState", app.state.page), cast("ReviewState", app.state.review)


def _candidate(review: ReviewState, rank: int) -> Candidate:
    if not 0 <= rank < len(review.queue):
        raise HTTPException(404, f"mask must be in 0..{len(review.queue) - 1}, got {rank}")
    return review.queue.candidate(rank)


def _check_start(review: ReviewState, start: str) -> None:
    """Refuse a change that a page asks for which was loaded before the server was started again."""
    if start != review.start:
        raise HTTPException(
            409, "page must be of this start of usam review, got one of another: reload the page"
        )


@router.get("")
async def progress(request: Request, rank: int = -1) -> dict[str, Any]:
    """How many masks are left, their expected mean IoU, and the rank of the mask to look at next.

    The rank of a mask is its place in the queue. The next mask is the first without a decision,
    else a skipped mask after ``rank``; None if all are reviewed. For annotations, no mean IoU is
    expected.
    """
    _, review = _parts(request)
    queue = review.queue
    remaining = queue.remaining
    return {
        "start": review.start,
        "n_masks": len(queue),
        "n_left": remaining.n_masks,
        "n_skipped": queue.n_decided(SKIP),
        "rest_iou": None if queue.source.has_annotations else remaining.rest_iou,
        "whole_iou": None if queue.source.has_annotations else remaining.whole_iou,
        "may_stop": _stop_words(queue),
        "next": queue.next_after(rank),
        "name": queue.source.name,
        "decisions": str(queue.decisions_file),
    }


def _stop_words(queue: ReviewQueue) -> str:
    """Sentence that says whether the review may stop, or why no rule says so."""
    remaining, target = queue.remaining, queue.stop_at
    if not remaining.n_masks:
        return "You have looked at all masks."
    if queue.source.has_annotations:
        return "An annotation to check is a claim to look at, not a verdict."
    if queue.source.prompt == EVERYTHING:
        return "No rule says when to stop: the heads were never tested on masks of everything."
    may_stop = remaining.may_stop(target)
    if may_stop is None:
        return (
            "No rule says when to stop: the heads cannot judge the images of "
            f"{remaining.n_unjudged} of the {counted(remaining.n_masks, 'mask')} left."
        )
    masks = counted(remaining.n_masks, "mask")
    if may_stop:
        return f"You may stop: the {masks} left have a mean IoU of at least {target:g}."
    return f"Go on: the {masks} left may have a mean IoU below {target:g}."


@router.get("/masks/{rank}")
async def mask(request: Request, rank: int) -> dict[str, Any]:
    """A mask of the queue with its image, its prompt, its numbers, and ranks to show beside it."""
    page, review = _parts(request)
    candidate = _candidate(review, rank)
    name, image = await review.open_image(page, candidate.image.image)
    uncertainty = candidate.entry["uncertainty"]
    inside = await asyncio.to_thread(_shown_mask, candidate, image.shown_size_px)
    return {
        "rank": rank,
        "file": candidate.image.image.file,
        "image": name,
        "height_px": image.height_px,
        "width_px": image.width_px,
        "shown_size_px": image.shown_size_px,
        "prompt": _prompt(candidate.prompt),
        "box_px": _box(candidate),
        "answer": {"selected": 0, "proposals": [_proposal(candidate, inside)]},
        "is_empty": candidate.is_empty,
        "words": _words(candidate),
        "sam_score": uncertainty["sam_score"],
        "advice": uncertainty["advice"],
        "caution": uncertainty["caution"],
        "decision": candidate.decision and candidate.decision.decision,
        "neighbours": review.queue.neighbours(rank),
    }


def _proposal(candidate: Candidate, inside: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    return {
        "mask": messages.mask_png(inside),
        "entropy": None,
        "expected_iou": {"own": candidate.entry["score"]},
    }


def _words(candidate: Candidate) -> str:
    """Text with the expected IoU of a mask; for an annotation, also its IoU with models' masks."""
    iou, uncertainty = candidate.entry["score"], candidate.entry["uncertainty"]
    if candidate.is_empty:
        return "Empty mask"
    if "doubt" not in uncertainty:
        return f"Expected IoU {iou:.2f}"
    return f"Models expect IoU {iou:.2f}, reach {uncertainty['iou']:.2f}"


def _prompt(prompt: CocoPrompt) -> dict[str, Any]:
    return {
        "clicks": [{"x": x, "y": y, "label": 1} for x, y in prompt.clicks],
        "box": prompt.box and list(prompt.box),
    }


def _box(candidate: Candidate) -> list[int]:
    """Left, top, width and height of a mask in pixels; those of the image if the mask is empty."""
    inside = candidate.mask
    height_px, width_px = inside.shape
    return (
        list(cv2.boundingRect(inside.astype(np.uint8)))
        if inside.any()
        else [0, 0, width_px, height_px]
    )


def _shown_mask(candidate: Candidate, size_px: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    inside = candidate.mask.astype(np.uint8)
    return cv2.resize(inside, size_px[::-1], interpolation=cv2.INTER_NEAREST) > 0


@router.get("/masks/{rank}/thumbnail")
async def thumbnail(request: Request, rank: int) -> Response:
    """A picture of a mask and what is around it, as PNG."""
    page, review = _parts(request)
    candidate = _candidate(review, rank)
    _, image = await review.open_image(page, candidate.image.image)
    picture = await asyncio.to_thread(_thumbnail, candidate, image)
    return Response(picture, media_type="image/png")


def _thumbnail(candidate: Candidate, image: open_images.OpenImage) -> bytes:
    inside = candidate.mask
    x, y, width, height = _box(candidate)
    margin = int(MARGIN * max(width, height)) + 1
    rows = slice(max(0, y - margin), y + height + margin)
    columns = slice(max(0, x - margin), x + width + margin)
    drawn = draw_mask(image.rgb[rows, columns], inside[rows, columns])
    return open_images.thumbnail_png(drawn)


@router.post("/masks/{rank}/decision")
async def decide(request: Request, rank: int, start: str) -> dict[str, Any]:
    """Write a decision about a mask to the disk, and return the values of ``progress``.

    For the decision ``replace``, the new mask is predicted first. An empty mask is not kept, and
    only ``skip`` is possible if the image does not open. ``start`` is that of the ``progress`` with
    which the page was loaded; if it is not of this server, the status is 409.
    """
    _, review = _parts(request)
    _check_start(review, start)
    body = await messages.read_body(
        request, most_bytes=messages.MOST_QUESTION_BYTES, subject="question"
    )
    form = messages.parse_request(DecisionRequest, body)
    candidate = _candidate(review, rank)
    review.queue.decide(rank, await _decision(request, candidate, form))
    return await progress(request, rank)


async def _decision(request: Request, candidate: Candidate, form: DecisionRequest) -> Decision:
    """Make the decision that a person asks for, about a mask that the page shows."""
    page, review = _parts(request)
    if form.decision == SKIP:
        return Decision(SKIP)
    # Refuses a file that was removed or changed: nobody has seen the mask on it.
    _, image = await review.open_image(page, candidate.image.image)
    if form.decision == "keep":
        _check_not_empty(candidate.segmentation)
        return candidate.replacing or Decision("keep")
    if form.decision != "replace":
        return Decision(form.decision)
    if form.object is None:
        raise HTTPException(400, "object must come with the decision replace, got none")
    predictor = partial(page.models.predictor, page.default_heads, page.model)
    job = partial(_replacement, candidate, form.object, image, predictor)
    return await messages.while_connected(request, page.queue.run(job))


def _check_not_empty(segmentation: Mapping[str, Any]) -> None:
    if not area_rle(segmentation["counts"]):
        raise HTTPException(400, "a mask that is kept must have one pixel or more, got none")


def _replacement(
    candidate: Candidate,
    prompted: downloads.ObjectPrompt,
    image: open_images.OpenImage,
    predictor: Callable[[], UncertainPredictor],
) -> Decision:
    """Predict the mask that a person chose, and make the decision about the mask of the queue.

    It is ``keep``, without a mask, if the person's prompt and mask are those of the queue.
    Otherwise it has the predicted mask and its expected IoU: as ``clicked`` if the prompt differs,
    as ``choice`` if the heads chose the mask, and as ``proposal`` if the person chose a proposal.
    """
    encoded = image.predictor_like(predictor())
    annotation = downloads.annotation_of(encoded, prompted, Costs())
    prompt = candidate.prompt
    clicks = tuple((click.x, click.y) for click in prompted.clicks)
    is_own_prompt = (clicks, prompted.box) == (prompt.clicks, prompt.box)
    rle = annotation["segmentation"]
    _check_not_empty(rle)
    if is_own_prompt and rle == candidate.entry["segmentation"]:
        return Decision("keep")
    name = "choice" if prompted.proposal == N_PROPOSALS else "proposal"
    return Decision(name if is_own_prompt else "clicked", rle, annotation["score"])


@router.post("/undo")
async def undo(request: Request, start: str) -> dict[str, Any]:
    """Take the last decision back; return the values of ``progress``, with its mask as ``next``.

    Without a decision, the status is 400; ``start`` is that of ``decide``.
    """
    _, review = _parts(request)
    _check_start(review, start)
    rank = review.queue.undo()
    if rank is None:
        raise HTTPException(400, "there must be a decision to undo, got none")
    return await progress(request) | {"next": rank}
