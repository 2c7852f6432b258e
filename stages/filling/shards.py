"""Computes shards of a cell in a process, which shares them with other processes unasked."""

import random
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.extraction.shards import Shard
from pipeline.sam.model import Sam
from stages.extraction.models import kept_model
from stages.extraction.steps import CellSteps, EmbeddingSteps, Steps, run_shards, writer_of
from stages.program.progress import Count
from stages.settings.blocks import ExtractParams
from stages.settings.signatures import cell_settings, library_versions
from storage.errors import StoreError
from storage.folders import begin_file, begun_files
from storage.images.videos import SplitImages
from storage.pool.cell import Cell
from storage.store.signature import compare
from storage.store.writing import full_signature


def fill_part(
    part: Cell, images: str, params: ExtractParams, embeddings: Cell | None
) -> dict[str, str]:
    """Compute all shards of a part of a cell that another process describes; see ``fill_shards``.

    Raises
    ------
    StoreError
        If this process has other versions of libraries than the other process.
    """
    present = cell_settings(params, part.name) | library_versions(params.family, part.name.model)
    difference = compare({**part.signature, **full_signature(present)}, part.signature)
    if difference is not None:
        raise StoreError(
            f"{part} must be filled under the versions of the stage, got others ({difference})"
        )
    count = Count(0, "", lambda _: None)
    inputs = load(part, images, params)
    return fill_shards(part, part.split.names, *inputs, count, embeddings)


def load(cell: Cell, images: str, params: ExtractParams) -> tuple[SplitImages, Sam]:
    """Make a reader of a cell's images, which are in the folder ``images``, and load its model."""
    reader = SplitImages(Path(images), cell.split.table.file.tolist())
    return reader, kept_model(params, cell.name.model, str(cell.signature["device"]))


def fill_shards(
    cell: Cell,
    names: Collection[str],
    images: SplitImages,
    sam: Sam,
    count: Count,
    embeddings: Cell | None = None,
) -> dict[str, str]:
    """Compute the named shards of a cell; skip shards that another process finishes meanwhile.

    Parameters
    ----------
    count
        Counts finished rows.
    embeddings
        Embeddings of the cell's images; an image that has one is neither read nor encoded.

    Returns
    -------
    Error messages of the images that cannot be read, by image file; shards with these images were
    not written.
    """
    steps: Steps[Any] = CellSteps(sam, cell, images, embeddings)
    if cell.name.is_embeddings:
        steps = EmbeddingSteps(sam, cell, images)
    failures: dict[int, str] = {}
    with closing(Turns(cell, names, count)) as turns:
        write = writer_of(cell, sam.device, turns.end)
        while turns.left:
            failures |= run_shards(turns.shards(), steps, write, count)
    return {str(cell.split.table.file[image]): why for image, why in failures.items()}


class Turns:
    """Chooses the next shard to compute, so that two processes rarely compute the same shard.

    Each process goes round from a random shard. A shard that another process computes is marked by
    a file beside it, and comes last: the other process may be dead. Computing a shard twice does no
    harm. Before a shard, only the files with its name are looked up: listing the folder before each
    of 40,000 shards took 1.6 hours of a core.

    Attributes
    ----------
    left
        Names of the shards that this process has not chosen yet, in row order.
    """

    def __init__(self, cell: Cell, names: Collection[str], count: Count) -> None:
        self._cell = cell
        self._count = count
        self._marks: dict[str, Path] = {}
        self.left = dict.fromkeys(names)
        if len(names) > 1:  # a task of one shard does not list the folder
            begun_files(cell.folder)  # removes what dead processes have left

    def shards(self) -> Iterator[Shard]:
        """Yield shards that are missing at that moment and that no other process computes.

        If other processes compute all shards in ``left``, one of these is yielded: by then, its
        process may be dead.
        """
        ring, is_any = deque(self.left), False
        ring.rotate(random.randrange(len(ring)))  # noqa: S311 - no secret
        while ring:
            # The next shard may share an image with the last one.
            name = ring.popleft()
            if self._is_there(name):
                del self.left[name]
            elif mark := begin_file(self._cell.rows_path(name)):
                self._marks[name], is_any = mark, True
                yield self._take(name)
            elif ring:  # elsewhere: another process is here
                ring.rotate(random.randrange(len(ring)))  # noqa: S311
        if self.left and not is_any:
            yield self._take(random.choice([*self.left]))  # noqa: S311

    def _is_there(self, name: str) -> bool:
        """Whether the pool has a shard; it is then no work of this process."""
        is_there = self._cell.rows_path(name).exists()
        if is_there:
            self._count.exclude(self._cell.split.count_rows([name]))
        return is_there

    def _take(self, name: str) -> Shard:
        del self.left[name]
        return self._cell.split.shards[name]

    def end(self, name: str) -> None:
        """Remove the mark of a shard, if this process has made the mark."""
        if mark := self._marks.pop(name, None):
            mark.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the marks of all shards that were begun and not written."""
        for name in list(self._marks):
            self.end(name)
