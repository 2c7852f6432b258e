"""Requests of the page of ``usam review``: masks of the queue, and decisions about them."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from math import floor
from typing import Annotated, Any, Final, Literal

import cv2
import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from jaxtyping import Bool
from starlette.exceptions import HTTPException

from pipeline.iou_errors import CONFIDENCE
from pipeline.predictor import UncertainPredictor
from pipeline.predictor.advice import Costs
from pipeline.predictor.pictures import draw_mask
from pipeline.review import MOST_UNJUDGED
from pipeline.vocabulary import N_PROPOSALS
from stages.review.decisions import SKIP, Decision
from stages.review.queue import Candidate, ReviewQueue
from stages.web import downloads, messages, open_images
from stages.web.page_state import Page, PageState
from storage.datasets.coco import GENERATED, CocoPrompt
from storage.errors import counted
from storage.outputs.coco_results import has_no_heads
from storage.rle import area_rle

MARGIN: Final = 0.5
"""Part of the longer side of a mask's box that a thumbnail shows around it."""

DOUBT_WITHOUT: Final = "1 − SamScore × stability"
"""The doubt that orders masks where there are no heads."""

router: Final = APIRouter(prefix="/api/review", include_in_schema=False)


class DecisionRequest(messages.Strict):
    """A person's decision about a mask of the queue, with the prompt of a mask that replaces it."""

    decision: Literal["keep", "replace", "redraw", "remove", "skip"]
    """``replace``: the chosen proposal of ``object`` replaces the mask."""
    object: downloads.ObjectPrompt | None = None
    """Prompt and proposal on the page."""


async def _queue(page: Page) -> ReviewQueue:
    assert page.review is not None  # or these functions would not be asked
    return page.review


Queue = Annotated[ReviewQueue, Depends(_queue)]


async def _candidate(queue: Queue, rank: int) -> Candidate:
    if not 0 <= rank < len(queue):
        raise HTTPException(404, f"mask must be in 0..{len(queue) - 1}, got {rank}")
    return queue.candidate(rank)


Ranked = Annotated[Candidate, Depends(_candidate)]
"""Parameter of a function that answers a request about the mask of a rank."""


async def _check_start(page: Page, start: str) -> None:
    """Refuse a change that a page asks for which was loaded before the server was started again."""
    if start != page.start:
        raise HTTPException(
            409, "page must be of this start of usam review, got one of another: reload the page"
        )


@router.get("")
async def progress(page: Page, queue: Queue, rank: int = -1) -> dict[str, Any]:
    """How many masks are left, their expected mean IoU, and the rank of the mask to look at next.

    The rank of a mask is its place in the queue. The next mask is the first without a decision,
    else a skipped mask after ``rank``; None if all are reviewed. For annotations and without heads,
    no mean IoU is expected.
    """
    remaining = queue.remaining
    expects_iou = queue.has_heads and not queue.source.has_annotations
    return {
        "start": page.start,
        "n_masks": len(queue),
        "n_left": remaining.n_masks,
        "n_skipped": queue.n_decided(SKIP),
        "rest_iou": remaining.rest_iou if expects_iou else None,
        "whole_iou": remaining.whole_iou if expects_iou else None,
        "may_stop": _stop_words(queue),
        "next": queue.next_after(rank),
        "name": queue.source.name,
        "decisions": str(queue.decisions_file),
    }


def _stop_words(queue: ReviewQueue) -> str:
    """Sentence that says whether the review may stop, or why no rule says so."""
    if not queue.remaining.n_masks:
        return "You have looked at all masks."
    if queue.source.has_annotations:
        return "An annotation to check is a claim to look at, not a verdict."
    why_not = ""
    if not queue.has_heads:
        why_not = f"there are no heads, and masks are in the order of {DOUBT_WITHOUT}"
    elif queue.source.prompt in GENERATED:
        why_not = "the heads were never tested on masks of everything"
    elif queue.errors is None:
        why_not = (
            "the file of these heads lacks their errors on held-out images for this model and such "
            "prompts"
        )
    elif (share := queue.remaining.unjudged_share) > MOST_UNJUDGED:
        why_not = f"the heads cannot judge the images of {share:.0%} of the masks"
    return f"No rule says when to stop: {why_not}." if why_not else _promise(queue)


def _promise(queue: ReviewQueue) -> str:
    """Sentences that promise a mean IoU of the masks left, and say whether it is enough."""
    remaining, target = queue.remaining, queue.stop_at
    unjudged = f"{counted(remaining.n_unjudged, 'mask')} left in images unlike the training images"
    if remaining.rest_iou_low is None:
        return f"Go on: look at the {unjudged}, of which nothing is promised."
    aside = f" Nothing is promised of {unjudged}." if remaining.n_unjudged else ""
    masks = counted(remaining.n_masks - remaining.n_unjudged, "mask")
    may_stop = remaining.may_stop(target)
    reached = f"{floor(1000 * remaining.rest_iou_low) / 1000:.3f}"
    return (
        f"{'You may stop' if may_stop else 'Go on'}: with {CONFIDENCE:.0%} confidence, the {masks} "
        f"left have a mean IoU of at least {reached}. "
        f"The review aims at {target:g}.{aside}"
    )


@router.get("/masks/{rank}")
async def mask(page: Page, queue: Queue, candidate: Ranked, rank: int) -> dict[str, Any]:
    """A mask of the queue with its image, its prompt, its numbers, and ranks to show beside it."""
    name, image = await page.open_file(candidate.image.image)
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
        "made_by": " ".join(uncertainty[key] for key in ("family", "model") if key in uncertainty),
        "sam_score": uncertainty["sam_score"],
        "advice": uncertainty["advice"],
        "caution": uncertainty["caution"],
        "decision": candidate.decision and candidate.decision.decision,
        "neighbours": queue.neighbours(rank),
    }


def _proposal(candidate: Candidate, inside: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    return {
        "mask": messages.mask_png(inside),
        "entropy": None,
        "expected_iou": {"own": candidate.entry["score"]},
    }


def _words(candidate: Candidate) -> str:
    """Text with the score of a mask; for an annotation, also its IoU with models' masks."""
    iou, uncertainty = candidate.entry["score"], candidate.entry["uncertainty"]
    if candidate.is_empty:
        return "Empty mask"
    if has_no_heads(candidate.entry):
        return f"SamScore × stability {iou:.2f}"
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
async def thumbnail(page: Page, candidate: Ranked) -> Response:
    """A picture of a mask and what is around it, as PNG."""
    _, image = await page.open_file(candidate.image.image)
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


@router.post("/masks/{rank}/decision", dependencies=[Depends(_check_start)])
async def decide(
    request: Request, page: Page, queue: Queue, candidate: Ranked, rank: int
) -> dict[str, Any]:
    """Write a decision about a mask to the disk, and return the values of ``progress``.

    For the decision ``replace``, the new mask is predicted first. An empty mask is not kept, and
    only ``skip`` is possible if the image does not open. ``start`` is that of the ``progress`` with
    which the page was loaded; if it is not of this server, the status is 409.
    """
    form = await messages.read_request(request, DecisionRequest)
    decision = await messages.while_connected(request, _decision(page, candidate, form))
    queue.decide(rank, decision)
    return await progress(page, queue, rank)


async def _decision(page: PageState, candidate: Candidate, form: DecisionRequest) -> Decision:
    """Make the decision that a person asks for, about a mask that the page shows."""
    if form.decision == SKIP:
        return Decision(SKIP)
    # Refuses a file that was removed or changed: nobody has seen the mask on it.
    _, image = await page.open_file(candidate.image.image)
    if form.decision == "keep":
        _check_not_empty(candidate.segmentation)
        return candidate.replacing or Decision("keep")
    if form.decision != "replace":
        return Decision(form.decision)
    if form.object is None:
        raise HTTPException(400, "object must come with the decision replace, got none")
    predictor = partial(page.models.predictor, page.default_heads, page.model)
    return await page.jobs.run(partial(_replacement, candidate, form.object, image, predictor))


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


@router.post("/undo", dependencies=[Depends(_check_start)])
async def undo(page: Page, queue: Queue) -> dict[str, Any]:
    """Take the last decision back; return the values of ``progress``, with its mask as ``next``.

    Without a decision, the status is 400; ``start`` is that of ``decide``.
    """
    rank = queue.undo()
    if rank is None:
        raise HTTPException(400, "there must be a decision to undo, got none")
    return await progress(page, queue) | {"next": rank}
