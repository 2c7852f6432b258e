"""Decisions about masks, in a file with a line per decision, appended when it is made."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from storage.errors import DataError
from storage.outputs.records import append_line, read_lines

DECISIONS: Final[Mapping[str, str]] = {
    "keep": "the mask is right",
    "proposal": "another proposal of the model replaces it",
    "choice": "the mask that the heads choose replaces it",
    "clicked": "the mask of more clicks or of a box replaces it",
    "redraw": "a person will draw it in another tool",
    "remove": "it is no object",
    "skip": "look at it later",
}
"""Decisions about a mask -> their meanings."""

SKIP: Final = "skip"

REMOVE: Final = "remove"

MaskKey = tuple[int | str, int]
"""Id of an image, and the place of a mask among the masks of the image, from 0."""

_MADE_FROM: Final = "made_from"


@dataclass(frozen=True)
class Decision:
    """A decision about a mask, with the mask that replaces it, if there is one."""

    decision: str
    """One of ``DECISIONS``."""
    segmentation: Mapping[str, Any] | None = None
    """COCO's run lengths of the mask that replaces the reviewed mask; None if there is none."""
    expected_iou: float | None = None
    """Expected IoU of the replacing mask; None if there is none."""

    @property
    def is_reviewed(self) -> bool:
        """Whether the decision is final; ``skip`` leaves the mask for later."""
        return self.decision != SKIP


class Decisions:
    """The decisions of a reviewer, in a file of lines that only grows.

    Undoing a decision appends a line, too, so a kill at any instant loses at most the last line.

    Parameters
    ----------
    path
        File of the decisions; a missing file is begun.
    made_from
        All that the masks follow from: digests and settings by name.
    other_files
        Files of other reviewers of the same masks, which are read and not changed. If several
        reviewers decided about a mask, the decision in ``path`` counts, or else the decision in the
        last of these files.

    Raises
    ------
    DataError
        If one of the files has decisions about masks that were made from other inputs.
    """

    def __init__(
        self, path: Path, made_from: Mapping[str, str], other_files: Iterable[Path] = ()
    ) -> None:
        self.path = path
        self._history: list[MaskKey] = []
        self._by_key: dict[MaskKey, list[Decision]] = {}
        for file in other_files:
            self._read(file, made_from)
            self._history.clear()
        if self._read(path, made_from) != made_from:
            append_line(path, {_MADE_FROM: dict(made_from)})

    def _read(self, path: Path, made_from: Mapping[str, str]) -> object:
        """Read the decisions of a file, and return the inputs of their masks, or None.

        A file without decisions, or whose decisions were all taken back, may be of other inputs.
        """
        written = None
        for line in read_lines(path):
            if _MADE_FROM in line:
                written = line[_MADE_FROM]
                continue
            key = line["image_id"], line["mask"]
            if line["decision"] is None:
                self._forget(key)
            else:
                fields = {name: line[name] for name in ("segmentation", "expected_iou")}
                self._remember(key, Decision(line["decision"], **fields))
        if self._history:
            _check_inputs(path, written, made_from)
        return written

    def __iter__(self) -> Iterator[tuple[MaskKey, Decision]]:
        """Iterate over the keys of masks that have a decision, each with its last decision."""
        return ((key, decisions[-1]) for key, decisions in self._by_key.items())

    def get(self, key: MaskKey) -> Decision | None:
        """The last decision about a mask; None without a decision."""
        decisions = self._by_key.get(key)
        return decisions[-1] if decisions else None

    def add(self, key: MaskKey, decision: Decision) -> None:
        """Append a decision about a mask to the file."""
        append_line(self.path, {"image_id": key[0], "mask": key[1], **vars(decision)})
        self._remember(key, decision)

    def undo(self, keys: Container[MaskKey]) -> MaskKey | None:
        """Take the last decision about one of ``keys`` back, and return the key of its mask.

        The decision before it about this mask counts again. None if the reviewer's file has no such
        decision; other reviewers' decisions are not taken back.
        """
        key = next((key for key in reversed(self._history) if key in keys), None)
        if key is not None:
            append_line(self.path, {"image_id": key[0], "mask": key[1], "decision": None})
            self._forget(key)
        return key

    def _remember(self, key: MaskKey, decision: Decision) -> None:
        self._history.append(key)
        self._by_key.setdefault(key, []).append(decision)

    def _forget(self, key: MaskKey) -> None:
        del self._history[-1 - self._history[::-1].index(key)]
        self._by_key[key].pop()
        if not self._by_key[key]:
            del self._by_key[key]


def _check_inputs(path: Path, written: object, made_from: Mapping[str, str]) -> None:
    before = written if isinstance(written, dict) else {}
    changes = [
        f"{key}: {before.get(key)} -> {value}"
        for key, value in made_from.items()
        if before.get(key) != value
    ]
    if changes:
        raise DataError(
            f"{path} has decisions about masks that were made under other inputs "
            f"({'; '.join(changes)}): name another folder with --out"
        )
