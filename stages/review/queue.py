"""The queue of a review: masks from doubtful to sure, and the decisions about them."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from pipeline.review import Remaining, most_doubtful_first, remaining
from stages.review.decisions import Decision, Decisions, MaskKey
from stages.review.sources import Source
from storage.datasets.coco import CocoPrompt, PromptedImage
from storage.outputs.coco_results import KeptResults

N_BEFORE: Final = 2
N_AFTER: Final = 6
"""Numbers of masks that are shown as thumbnails: those looked at last, and those that follow."""


@dataclass(frozen=True)
class Candidate:
    """A mask to review, with its image, its prompt and its last decision."""

    image: PromptedImage
    entry: Mapping[str, Any]
    """The mask and its uncertainty, as in the results of ``usam predict-coco``."""
    prompt: CocoPrompt
    """The prompt that the mask answers."""
    decision: Decision | None


class ReviewQueue:
    """Masks in the order in which a person looks at them; ranks count from 0.

    A number or two for each mask are in memory, all masks are on the disk.
    """

    def __init__(
        self,
        source: Source,
        results: KeptResults,
        decisions: Decisions,
        *,
        stop_at: float,
    ) -> None:
        self.source = source
        self.stop_at = stop_at
        self._results = results
        self._decisions = decisions
        keys: list[tuple[int, int]] = []
        numbers: list[tuple[float, float, float]] = []
        for number, image in enumerate(source.prompted):
            for place, entry in enumerate(results.results_of([image.image_id])):
                values = entry["attributes"]
                keys.append((number, place))
                iou, unlike = values["expected_iou"], values.get("unlike_training", np.nan)
                numbers.append((iou, unlike, entry["uncertainty"].get("doubt", 1 - iou)))
        expected_iou, unlike_training, doubt = np.array(numbers, np.float32).reshape(-1, 3).T
        order = most_doubtful_first(1 - doubt)
        self._keys = np.array(keys, np.int64).reshape(-1, 2)[order]
        self._expected_iou, self._unlike = expected_iou[order], unlike_training[order]
        ranks = {self._key(rank): rank for rank in range(len(order))} if [*decisions] else {}
        self._is_reviewed = np.zeros(len(order), bool)
        self._is_skipped = np.zeros(len(order), bool)
        self._last: deque[int] = deque(maxlen=N_BEFORE)
        for key, _ in decisions:
            if key in ranks:
                self._mark(ranks[key])
                self._last.append(ranks[key])

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def decisions_file(self) -> Path:
        """File to which decisions are appended."""
        return self._decisions.path

    @property
    def is_reviewed(self) -> Bool[np.ndarray, " mask"]:
        """Whether a person has decided about the mask of each rank."""
        return self._is_reviewed

    @property
    def remaining(self) -> Remaining:
        """Number and expected IoU of the masks that nobody has looked at, and whether to stop."""
        return remaining(self._expected_iou, self._unlike, self._is_reviewed)

    def candidate(self, rank: int) -> Candidate:
        """The mask of a rank, with its last decision."""
        number, place = self._keys[rank].tolist()
        image = self.source.prompted[number]
        entry = self._results.results_of([image.image_id])[place]
        decision = self._decisions.get((image.image_id, place))
        return Candidate(image, entry, _prompt_of(image, place, entry), decision)

    def decide(self, rank: int, decision: Decision) -> None:
        """Append a decision about the mask of a rank to the file, and mark the mask as reviewed."""
        self._decisions.add(self._key(rank), decision)
        self._mark(rank)
        self._last.append(rank)

    def undo(self) -> int | None:
        """Take the last decision of this queue back, and return its rank; None without one."""
        key = self._decisions.undo()
        if key is None:
            return None
        rank = next(rank for rank in range(len(self)) if self._key(rank) == key)
        self._mark(rank)
        if rank in self._last:
            self._last.remove(rank)
        return rank

    def next_after(self, rank: int) -> int | None:
        """Rank of the next mask without a decision; after the last one, of the next skipped mask.

        None if a person has decided about all masks.
        """
        new = np.flatnonzero(~self._is_reviewed & ~self._is_skipped)
        if len(new):
            return int(new[0])
        skipped = np.flatnonzero(self._is_skipped)
        return (
            int(skipped[np.searchsorted(skipped, rank + 1) % len(skipped)])
            if len(skipped)
            else None
        )

    def neighbours(self, rank: int) -> Sequence[int]:
        """Ranks of the masks decided about last, of the mask itself, and of those that follow."""
        waits = np.flatnonzero(~self._is_reviewed)
        following = waits[waits > rank][:N_AFTER].tolist()
        return list(
            dict.fromkeys([*(last for last in self._last if last != rank), rank, *following])
        )

    @property
    def n_skipped(self) -> int:
        """Number of masks whose last decision is ``skip``: a person looks at them later."""
        return int(self._is_skipped.sum())

    def _key(self, rank: int) -> MaskKey:
        number, place = self._keys[rank].tolist()
        return self.source.prompted[number].image_id, place

    def _mark(self, rank: int) -> None:
        decision = self._decisions.get(self._key(rank))
        self._is_reviewed[rank] = decision is not None and decision.is_reviewed
        self._is_skipped[rank] = decision is not None and not decision.is_reviewed


def _prompt_of(image: PromptedImage, place: int, entry: Mapping[str, Any]) -> CocoPrompt:
    """The prompt of a mask: that of the COCO file, or the click of the grid that found the mask."""
    if image.prompts:
        return image.prompts[place]
    clicks = tuple((x, y) for x, y in entry["uncertainty"]["point_coords"])
    return CocoPrompt(0, entry["category_id"], None, clicks)
