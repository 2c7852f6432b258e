"""How fast cells were made, by the receipts of their shards, which outlive the work folders."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from storage.cell.reuse import OF_A_SPLIT
from storage.errors import StoreError
from storage.folders import whole_file
from storage.store.inspection import open_store
from storage.store.marks import FOLDER, load_mark
from storage.store.signature import compare

RATES: Final = "rates"
"""Folder among those of the work, with a file for each work folder that is gone."""

NO_MATTER: Final = (*OF_A_SPLIT, "view", "view_parameters")
"""Entries of a signature that change the time of an object little."""


@dataclass(frozen=True)
class Made:
    """Objects of a cell that one kind of processor or GPU computed.

    Attributes
    ----------
    signature
        Of the cell.
    device
        Name of the processor or the GPU.
    seconds
        Of all the objects.
    """

    signature: Mapping[str, Any]
    device: str
    n_objects: int
    seconds: float

    def is_under(self, signature: Mapping[str, object]) -> bool:
        """Whether a cell of this signature takes as long for an object."""
        asked = {key: value for key, value in signature.items() if key not in NO_MATTER}
        return compare(self.signature, asked) is None


def keep_rates(folder: Path, work: Path) -> None:
    """Keep what a work folder tells, which is about to go.

    Parameters
    ----------
    work
        Folder of all cells, ``cache/work``.
    """
    made = [asdict(one) for one in _made_in(folder)]
    if made:
        with whole_file(work / RATES / f"{folder.name}.json") as partial:
            partial.write_text(json.dumps(made) + "\n", encoding="utf-8")


def made_below(work: Path) -> list[Made]:
    """What was computed below ``cache/work``, in folders that are there or gone, of any split."""
    kept = [_kept_in(file) for file in (work / RATES).glob("*.json")]
    there = [_made_in(marks.parent) for marks in work.glob(f"*/*/*/*/{FOLDER}")]
    return list(chain.from_iterable([*kept, *there]))


def _kept_in(file: Path) -> list[Made]:
    """What is kept of a work folder; nothing if the file is damaged, like a mark that is."""
    try:
        return [Made(**one) for one in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError):
        return []


def _made_in(folder: Path) -> Iterator[Made]:
    try:
        signature = open_store(folder / "features.zarr").signature
    except StoreError:  # `usam cache ls` names it
        return
    totals: dict[str, tuple[int, float]] = {}
    for file in (folder / FOLDER).glob("*.json"):
        mark = load_mark(folder, int(file.stem))
        if mark is not None and mark.receipt is not None and mark.receipt.n_objects:
            n, seconds = totals.get(mark.receipt.device, (0, 0.0))
            totals[mark.receipt.device] = n + mark.receipt.n_objects, seconds + mark.receipt.seconds
    for device, (n, seconds) in totals.items():
        yield Made(dict(signature), device, n, seconds)
