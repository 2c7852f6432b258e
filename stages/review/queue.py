"""The queue of a review: masks from doubtful to sure, and the decisions about them."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Bool, Float

from pipeline.iou_errors import IouErrors
from pipeline.review import Remaining, remaining, review_order
from stages.review.decisions import REMOVE, SKIP, Decision, Decisions, MaskKey
from storage.datasets.coco import CocoPrompt, PromptedImage
from storage.outputs.coco_results import BEGINS, KeptResults, has_no_heads, places_of
from storage.rle import area_rle, decode_rle

if TYPE_CHECKING:
    from stages.predictor.answers import Answer
    from stages.predictor.model_choice import ModelChoice

N_BEFORE: Final = 2
N_AFTER: Final = 6
"""Numbers of masks shown as thumbnails: masks decided about last, and masks that follow."""


COCO: Final = "coco"

CVAT: Final = "cvat"

LABEL_STUDIO: Final = "label-studio"

FORMS: Final = (COCO, CVAT, LABEL_STUDIO)
"""Forms of the file of a queue: a COCO data set, *CVAT for images 1.1*, tasks of Label Studio."""

EXPORT_BEGINS: Final = re.compile(BEGINS.pattern + rb"|<\?xml .*\n<annotations>")
"""First bytes of the file of a queue, in any form."""


@dataclass(frozen=True)
class Source:
    """Images to review, the prompts about their objects, and where their masks come from."""

    name: str
    """Name of the folder, of the COCO file without its ending, or of the split."""
    images: Path
    prompted: Sequence[PromptedImage]
    prompt: str
    """Kind of the prompts, one of ``COCO_PROMPTS``."""
    categories: Mapping[int, str]
    origin: Mapping[str, str]
    """Digests of the inputs that the masks follow from, by name, without model and options."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Sha256 of the image files that the masks are about, by file; of videos, none."""
    faults: Sequence[str] = ()
    """A line for each image file of a folder that cannot be read."""
    cached_family: str = ""
    """Family whose cells in the cache hold the masks; empty if a model makes the masks."""
    cached_answers: "Callable[[ModelChoice], Answer] | None" = None
    """Makes the function that reads the masks of an image from the cache, if they are there."""
    has_annotations: bool = False
    """Whether the annotations of the split are reviewed, and not masks of a model."""


@dataclass(frozen=True)
class Candidate:
    """A mask to review, with its image, its prompt and its last decision."""

    image: PromptedImage
    entry: Mapping[str, Any]
    """The mask and its uncertainty, as in the results of ``usam predict-coco``."""
    prompt: CocoPrompt
    decision: Decision | None

    @property
    def replacing(self) -> Decision | None:
        """The last decision, if it replaced the mask by another; else None."""
        is_replacing = self.decision is not None and self.decision.segmentation is not None
        return self.decision if is_replacing else None

    @property
    def segmentation(self) -> Mapping[str, Any]:
        """COCO's run lengths of the mask that replaces this mask, or else of this mask."""
        if self.decision is not None and self.decision.segmentation is not None:
            return self.decision.segmentation
        segmentation: Mapping[str, Any] = self.entry["segmentation"]
        return segmentation

    @property
    def mask(self) -> Bool[np.ndarray, "height width"]:
        """Pixels of ``segmentation``."""
        return decode_rle(self.segmentation["counts"], *self.segmentation["size"])

    @property
    def score(self) -> float:
        """Expected IoU of ``segmentation``; without heads, SamScore times stability."""
        if self.decision is not None and self.decision.expected_iou is not None:
            return self.decision.expected_iou
        return float(self.entry["score"])

    @property
    def is_empty(self) -> bool:
        """Whether ``segmentation`` has no pixel: it can be replaced or removed, but not kept."""
        return area_rle(self.segmentation["counts"]) == 0

    @property
    def is_exported(self) -> bool:
        """Whether other tools get the mask: it is not empty, and nobody removed it."""
        is_removed = self.decision is not None and self.decision.decision == REMOVE
        return not is_removed and not self.is_empty

    @property
    def attributes(self) -> dict[str, float | bool | str]:
        """Attributes of the mask as ``usam predict-coco`` writes them, and three of its review.

        The three are ``expected_iou`` (with heads), ``reviewed``, and ``decision``, which is empty
        without one.
        A mask that replaces another has no ``sam_score`` and no gains: these are of the other mask.
        """
        is_replaced = self.replacing is not None
        return {
            **{
                name: value
                for name, value in self.entry["attributes"].items()
                if not (is_replaced and name.startswith(("sam_score", "gain_")))
            },
            **({} if has_no_heads(self.entry) else {"expected_iou": self.score}),
            "reviewed": self.decision is not None and self.decision.is_reviewed,
            "decision": "" if self.decision is None else self.decision.decision,
        }


class ReviewQueue:
    """Masks in the order in which a person looks at them: the most doubtful has the rank 0.

    Masks in images that the heads cannot judge come before all others.

    Some numbers for each mask are in memory, all masks are on the disk.

    Parameters
    ----------
    source
        The images, their prompts, and where their masks come from.
    results
        Entries of the masks of all images of the source, as ``usam predict-coco`` keeps them.
    decisions
        Decisions about these masks.
    stop_at
        Mean IoU of the remaining masks at which a review may stop; the queue only stores it.
    errors
        Measured errors of the heads for the model and the prompts of the masks; None if there are
        none.
    """

    def __init__(
        self,
        source: Source,
        results: KeptResults,
        decisions: Decisions,
        *,
        stop_at: float,
        errors: IouErrors | None = None,
        has_heads: bool = True,
    ) -> None:
        self.source = source
        self.stop_at = stop_at
        self.errors = errors
        self.has_heads = has_heads
        """Whether scores are expected IoUs; otherwise they are SamScores times stability."""
        self._results = results
        self._decisions = decisions
        numbers = [_numbers(results.results_of(image.image_id)) for image in source.prompted]
        expected_iou, unlike_training, doubt = np.concatenate(numbers or [_numbers([])]).T
        order = review_order(1 - doubt, unlike_training)
        keys = np.stack(places_of([len(of_image) for of_image in numbers]), axis=1)
        self._keys = keys[order]
        self._expected_iou, self._unlike = expected_iou[order], unlike_training[order]
        ranks = {self._key(rank): rank for rank in range(len(order))} if [*decisions] else {}
        self._decided = np.full(len(order), "", "U16")
        """Last decision about the mask of each rank; empty without one."""
        self._last: deque[int] = deque(maxlen=N_BEFORE)
        self.unknown: list[MaskKey] = []
        """Masks with a decision that the queue lacks: of other images, or of numbers too high."""
        for key, _ in decisions:
            if key in ranks:
                self._mark(ranks[key])
                self._last.append(ranks[key])
            else:
                self.unknown.append(key)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def decisions_file(self) -> Path:
        """File to which decisions are appended."""
        return self._decisions.path

    @property
    def is_reviewed(self) -> Bool[np.ndarray, " mask"]:
        """Whether the mask of each rank has a decision other than ``skip``."""
        return ~np.isin(self._decided, ("", SKIP))

    @property
    def remaining(self) -> Remaining:
        """Number and expected IoU of the masks that are not reviewed; ``may_stop`` judges them."""
        return remaining(self._expected_iou, self._unlike, self.is_reviewed, self.errors)

    def candidate(self, rank: int) -> Candidate:
        """Read the mask of a rank from the disk, with its last decision."""
        number, place = self._keys[rank].tolist()
        image = self.source.prompted[number]
        entry = self._results.result(image.image_id, place)
        decision = self._decisions.get((image.image_id, place))
        return Candidate(image, entry, _prompt_of(image, place, entry), decision)

    def by_image(self) -> Iterator[list[Candidate]]:
        """Yield the masks of each image by rank, the image with the most doubtful mask first.

        Images without a mask are left out.
        """
        numbers = self._keys[:, 0]
        ranks = np.argsort(numbers, kind="stable")
        images = np.split(ranks, np.flatnonzero(np.diff(numbers[ranks])) + 1)
        for of_image in sorted(images, key=min) if len(ranks) else ():
            yield [self.candidate(rank) for rank in of_image.tolist()]

    def decide(self, rank: int, decision: Decision) -> None:
        """Append a decision about the mask of a rank to the file.

        The mask is then reviewed or, if the decision is ``skip``, skipped.
        """
        self._decisions.add(self._key(rank), decision)
        self._mark(rank)
        self._last.append(rank)

    def undo(self) -> int | None:
        """Take the reviewer's last decision about a mask of the queue back; return the mask's rank.

        None if there is no decision to take back.
        """
        ranks = {self._key(rank): rank for rank in range(len(self))}
        key = self._decisions.undo(ranks)
        if key is None:
            return None
        rank = ranks[key]
        self._mark(rank)
        if rank in self._last:
            self._last.remove(rank)
        return rank

    def next_after(self, rank: int) -> int | None:
        """Rank of the mask to look at next: the lowest rank without a decision.

        If all masks have a decision, it is the skipped mask that follows ``rank``, from the first
        again after the last. None if all are reviewed.
        """
        new = np.flatnonzero(self._decided == "")
        if len(new):
            return int(new[0])
        skipped = np.flatnonzero(self._decided == SKIP)
        return (
            int(skipped[np.searchsorted(skipped, rank + 1) % len(skipped)])
            if len(skipped)
            else None
        )

    def neighbours(self, rank: int) -> Sequence[int]:
        """Ranks to show as thumbnails beside the mask of ``rank``, each once.

        These are, in this order, up to ``N_BEFORE`` masks that were decided about last, the mask
        itself, and up to ``N_AFTER`` masks of higher rank that are not reviewed.
        """
        waits = np.flatnonzero(~self.is_reviewed)
        following = waits[waits > rank][:N_AFTER].tolist()
        return list(
            dict.fromkeys([*(last for last in self._last if last != rank), rank, *following])
        )

    def n_decided(self, decision: str) -> int:
        """Number of masks with this last decision, one of ``DECISIONS``."""
        return int((self._decided == decision).sum())

    def _key(self, rank: int) -> MaskKey:
        number, place = self._keys[rank].tolist()
        return self.source.prompted[number].image_id, place

    def _mark(self, rank: int) -> None:
        decision = self._decisions.get(self._key(rank))
        self._decided[rank] = "" if decision is None else decision.decision


def _numbers(entries: Sequence[Mapping[str, Any]]) -> Float[np.ndarray, "mask 3"]:
    """Expected IoU, ``unlike_training`` (NaN if unknown) and doubt of each mask of an image.

    The doubt, by which masks are sorted, is 1 - expected IoU if an entry has none.
    """
    numbers = [
        (
            entry["score"],
            entry["attributes"].get("unlike_training", np.nan),
            entry["uncertainty"].get("doubt", 1 - entry["score"]),
        )
        for entry in entries
    ]
    return np.array(numbers, np.float32).reshape(-1, 3)


def _prompt_of(image: PromptedImage, place: int, entry: Mapping[str, Any]) -> CocoPrompt:
    """Prompt of the mask with the number ``place`` in its image.

    It is the prompt of the COCO file or, for an image without prompts, the click of the grid that
    found the mask.
    """
    if image.prompts:
        return image.prompts[place]
    clicks = tuple((x, y) for x, y in entry["uncertainty"]["point_coords"])
    return CocoPrompt(0, entry["category_id"], None, clicks)
