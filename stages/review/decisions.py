"""Decisions about masks, in a file with a line per decision, appended when it is made."""

import fcntl
import os
import secrets
import socket
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    NonNegativeInt,
    TypeAdapter,
)

from storage.checkpoints.weights import named_weights
from storage.errors import DataError, shown
from storage.folders import named_disk_errors
from storage.outputs.records import append_lines
from storage.rle import check_runs, parse_counts

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


class _Inputs(BaseModel, strict=True):
    """A line that says what the masks of the decisions after it were made from."""

    made_from: dict[str, str]


class _Rle(BaseModel, strict=True):
    """COCO's run lengths of a mask."""

    size: Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)]
    counts: str


def _check_rle(mask: _Rle) -> _Rle:
    check_runs(parse_counts(mask.counts), *mask.size)
    return mask


def _check_decision(decision: str) -> str:
    if decision not in DECISIONS:
        raise ValueError(f"decision must be one of {', '.join(DECISIONS)}, got {shown(decision)}")
    return decision


class _Line(BaseModel, strict=True):
    """A line with a decision about a mask or, without ``decision``, one that takes it back."""

    image_id: int | str
    mask: NonNegativeInt
    decision: Annotated[str, AfterValidator(_check_decision)] | None
    segmentation: Annotated[_Rle, AfterValidator(_check_rle)] | None = None
    expected_iou: FiniteFloat | None = None
    id: str | None = None
    """Random name of the decision, which the line that takes it back repeats. Older files have
    none: there, the last decision about the mask is taken back."""


_LINE: Final[TypeAdapter[_Inputs | _Line]] = TypeAdapter(_Inputs | _Line)


class Decisions:
    """The decisions of a reviewer, in a file of lines that only grows.

    Undoing a decision appends a line, too, so a kill at any instant loses at most the last line.

    Parameters
    ----------
    path
        File of the decisions; the first decision begins a missing file.
    made_from
        All that the masks follow from: digests and settings by name.
    other_files
        Files of other reviewers of the same masks, which are read and not changed. If several
        reviewers decided about a mask, the decision in ``path`` counts, or else the decision in the
        last of these files.
    sizes
        Height and width in pixels of images by id: a mask that replaces another has its image's.

    Attributes
    ----------
    faults
        A message for each line of the files that is no decision; all other lines count.

    Raises
    ------
    DataError
        If one of the files has decisions about masks that were made from other inputs.
    """

    def __init__(
        self,
        path: Path,
        made_from: Mapping[str, str],
        other_files: Iterable[Path] = (),
        sizes: Mapping[int | str, tuple[int, int]] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self._sizes = sizes
        self.faults: list[str] = []
        self._made_from = made_from
        self._own: dict[str, MaskKey] = {}
        """Decisions in ``path`` that count: their ids, in the order of the file -> masks."""
        self._by_key: dict[MaskKey, dict[str, Decision]] = {}
        """Decisions in all files that count: masks -> ids, in the order of time -> decisions."""
        for file in other_files:
            self._read(file)
            self._own.clear()
        self._is_begun = self._read(path) == made_from

    def _read(self, path: Path) -> Mapping[str, str] | None:
        """Read the decisions of a file, and return the inputs of their masks, or None.

        A file without decisions, or whose decisions were all taken back, may be of other inputs.
        """
        written = None
        for number, text in _numbered_lines(path):
            try:
                line = _LINE.validate_json(text)
                self._check_size(line)
            except ValueError:
                self.faults.append(f"{path}: line {number} must be a decision, got {shown(text)}")
                continue
            if isinstance(line, _Inputs):
                written = line.made_from
            elif line.decision is not None:
                values = line.model_dump()
                fields = {name: values[name] for name in ("segmentation", "expected_iou")}
                name = line.id or f"line {number} of {path.name}"
                self._remember(name, (line.image_id, line.mask), Decision(line.decision, **fields))
            elif not self._forget(line.id, (line.image_id, line.mask)):
                self.faults.append(
                    f"{path}: line {number} must take a decision back, got {shown(text)}"
                )
        if self._own and written is not None:
            check_inputs(f"{path} has decisions about masks", written, self._made_from)
        return written

    def _check_size(self, line: _Inputs | _Line) -> None:
        if isinstance(line, _Line) and line.segmentation is not None:
            height_px, width_px = line.segmentation.size
            if self._sizes.get(line.image_id, (height_px, width_px)) != (height_px, width_px):
                raise ValueError("a mask of another size than its image")

    def __iter__(self) -> Iterator[tuple[MaskKey, Decision]]:
        """Iterate over the keys of masks that have a decision, each with its last decision."""
        return ((key, decision) for key in self._by_key if (decision := self.get(key)))

    def get(self, key: MaskKey) -> Decision | None:
        """The last decision about a mask; None without a decision."""
        decisions = self._by_key.get(key)
        return next(reversed(decisions.values())) if decisions else None

    def add(self, key: MaskKey, decision: Decision) -> None:
        """Append a decision about a mask to the file."""
        name = secrets.token_hex(8)
        self._append(_line_of(name, key, decision))
        self._remember(name, key, decision)

    def undo(self, keys: Container[MaskKey]) -> MaskKey | None:
        """Take the last decision about one of ``keys`` back, and return the key of its mask.

        The decision before it about this mask counts again. None if the reviewer's file has no such
        decision; other reviewers' decisions are not taken back.
        """
        name = next((name for name, key in reversed(self._own.items()) if key in keys), None)
        if name is None:
            return None
        key = self._own[name]
        self._append({"image_id": key[0], "mask": key[1], "decision": None, "id": name})
        self._forget(name, key)
        return key

    def _append(self, line: Mapping[str, Any]) -> None:
        """Append a line to the file; the inputs come first, and all decisions if it was removed."""
        own = [] if self.path.is_file() else self._own.items()
        before = [_line_of(name, key, self._by_key[key][name]) for name, key in own]
        if before or not self._is_begun:
            before.insert(0, {"made_from": dict(self._made_from)})
        append_lines(self.path, [*before, line])
        self._is_begun = True

    def _remember(self, name: str, key: MaskKey, decision: Decision) -> None:
        self._own[name] = key
        self._by_key.setdefault(key, {})[name] = decision

    def _forget(self, name: str | None, key: MaskKey) -> bool:
        """Drop a decision about a mask, or the last one without a name; False if there is none."""
        if name is None:
            name = next((name for name in reversed(self._own) if self._own[name] == key), "")
        if self._own.get(name) != key:
            return False
        del self._own[name]
        del self._by_key[key][name]
        if not self._by_key[key]:
            del self._by_key[key]
        return True


def _line_of(name: str, key: MaskKey, decision: Decision) -> dict[str, Any]:
    return {"image_id": key[0], "mask": key[1], **vars(decision), "id": name}


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not blank, each with its number, from 1."""
    if path.is_file():
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield number, text


def check_inputs(
    subject: str,
    before: Mapping[str, str],
    made_from: Mapping[str, str],
    remedy: str = "name another folder with --out",
) -> None:
    """Refuse what was ``before`` made from other inputs, with both values of each changed input."""
    changes = []
    for key, value in made_from.items():
        if (old := before.get(key, "none")) != value:
            words = map(named_weights, (old, value)) if key == "weights" else (old, value)
            changes.append(f"{key}: {' -> '.join(words)}")
    if changes:
        raise DataError(
            f"{subject} that were made under other inputs ({'; '.join(changes)}): {remedy}"
        )


@contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a file of decisions, so that no other process writes it during the block.

    The system releases the lock when the process ends, however it ends. Its file, ``<name>.lock``,
    stays; it has the process that held the lock last. On a disk that has no locks, a note says so.

    Raises
    ------
    DataError
        If another process holds the lock; the message has its host and number.
    """
    lock = path.with_name(f"{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # some network disks: no permission
            file.seek(0)
            raise DataError(
                f"{path} must have one writer, got a second while {file.read() or 'a process'} "
                "reviews these masks: end that, take another --half, or name another folder with "
                "--out"
            ) from error
        except OSError as error:
            print(
                f"note: {lock} must lie on a disk with locks to refuse a second review of these "
                f"masks, got: {error.strerror}",
                file=sys.stderr,
            )
        else:
            with named_disk_errors(lock):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}")
                file.flush()
        yield
