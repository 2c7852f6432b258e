"""Steps of extracting a cell, and the loop that overlaps reading and writing with the model."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import Final, Protocol, TypeVar, runtime_checkable

import numpy as np

from pipeline.extraction.plan import Piece, Shard
from pipeline.extraction.predictions import Apply, Request, Rows, extract_objects
from pipeline.prompt_kinds import PromptError
from pipeline.sam.model import Embedding, Sam, Square
from pipeline.views import apply_view
from stages.extraction.models import device_name
from stages.program.main import one_line
from stages.settings.signatures import CellName
from storage.errors import ImageError, WeightsError
from storage.images.videos import SplitImages
from storage.pool.cell import Cell
from storage.split.object_table import ObjectTable

N_READERS: Final = 2
N_AHEAD: Final = 2
"""Number of images that are read before the model needs them."""

T = TypeVar("T")
J = TypeVar("J")
R = TypeVar("R")


@runtime_checkable
class Steps(Protocol[T]):
    """The steps that ``run_shards`` calls; only the steps know where data are stored."""

    encoder_batch: int
    """Largest number of images in one call of ``compute``."""

    def read(self, piece: Piece) -> T | ImageError:
        """Read the image of a piece, or return the error; called from several threads."""

    def compute(self, images: Sequence[tuple[Piece, T]]) -> list[Rows]:
        """Run the model on up to ``encoder_batch`` images of one shard; return rows per image."""

    def write(self, shard: Shard, rows: Rows) -> None:
        """Write all rows of a shard; all calls come from one thread, not the caller's."""


def run_shards(
    shards: Iterable[Shard], steps: Steps[T], advance: Callable[[int], None]
) -> dict[int, str]:
    """Read, compute and write shards; a shard with an unreadable image is not written.

    Parameters
    ----------
    shards
        Shards to extract; the next shard is requested shortly before its images are read.
    advance
        Called with the number of objects that were just computed.

    Returns
    -------
    Error messages of the images that failed, by index of the image in the split.
    """
    failures: dict[int, str] = {}
    # At its end, also after an error, the block waits for the shard that is being written.
    with ThreadPoolExecutor(N_READERS) as readers, ThreadPoolExecutor(1) as writer:
        todo = ((shard, piece) for shard in shards for piece in shard.pieces)
        n_ahead = N_AHEAD + steps.encoder_batch - 1
        images = ahead(readers, lambda job: (*job, steps.read(job[1])), todo, n=n_ahead)
        written: Future[None] | None = None
        for shard, pieces in groupby(images, key=lambda image: image[0]):
            rows: list[Rows] = []
            failed: dict[int, str] = {}
            while batch := list(islice(pieces, steps.encoder_batch)):
                readable = [(piece, x) for _, piece, x in batch if not isinstance(x, ImageError)]
                errors = [(piece, x) for _, piece, x in batch if isinstance(x, ImageError)]
                failed |= {piece.image: str(error) for piece, error in errors}
                if not failed:
                    rows += steps.compute(readable)
                    advance(sum(piece.stop - piece.start for piece, _ in readable))
            failures |= failed
            if written is not None:
                written.result()  # one shard in flight: memory stays flat, errors surface
            written = None if failed else writer.submit(_write, steps, shard, rows)
        if written is not None:
            written.result()
    return failures


def _write(steps: Steps[T], shard: Shard, rows: list[Rows]) -> None:
    steps.write(shard, {name: np.concatenate([piece[name] for piece in rows]) for name in rows[0]})


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[J], R], jobs: Iterable[J], *, n: int
) -> Iterator[R]:
    """Yield results of ``work`` in the order of the jobs; up to ``n`` jobs run in advance."""
    begun: deque[Future[R]] = deque()
    for job in jobs:
        begun.append(pool.submit(work, job))
        if len(begun) > n:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


FINITE: Final = ("sam_score", "encoder_std")
"""Arrays of a model's output that are checked for NaN and infinity. ``encoder_std`` covers the
finer levels, from which only masks are made."""

ViewedImage = tuple[Square, Request]
"""An image after its view, resized for the model, and the request to predict its objects."""


@contextmanager
def behind(device: str) -> Iterator[Apply]:
    """Yield a function like ``map`` that scores one decoder call while a CPU decodes the next call.

    On a GPU it is ``map`` itself: the GPU queues the work of all calls.
    """
    if device != "cpu":
        yield map
        return
    with ThreadPoolExecutor(1) as pool:
        yield partial(ahead, pool, n=1)


@dataclass
class CellSteps:
    """Steps that extract the shards of one cell with a model into the pool.

    With an encoder batch of 1, the last embedding stays in memory: an image whose objects lie in
    two consecutive shards is encoded once. Encoding it again would give the same embedding, so a
    shard's bytes do not depend on the shards before it. In a larger batch, the last digits depend
    on the other images, so no embedding is kept for the next shard.
    """

    sam: Sam
    cell: Cell
    images: SplitImages
    name: CellName
    batch: int
    """Number of prompt sets per decoder call."""
    end: Callable[[str], None] = lambda _: None
    """Called with the name of a shard after the shard was written."""
    encoder_batch: int = 1
    _last: tuple[int, Embedding] | None = field(default=None, init=False)

    def read(self, piece: Piece) -> ViewedImage | ImageError:
        """Read, augment and resize the image of a piece; decode its objects' ground truth masks."""
        table, image = self._table, piece.image
        file, height_px = str(table.file[image]), int(table.height_px[image])
        try:
            self._check_unchanged(image)
            rgb = self.images.read(file, height_px=height_px, width_px=int(table.width_px[image]))
            request = self._request(piece)
        except (ImageError, OSError, PromptError) as error:
            return ImageError(one_line(error))
        viewed = apply_view(rgb, self.name.view, image=file)
        return self.sam.square(viewed), request

    def compute(self, images: Sequence[tuple[Piece, ViewedImage]]) -> list[Rows]:
        """Encode images of one shard, and decode every prompt set of their objects.

        Raises
        ------
        WeightsError
            If the model answers with NaN or infinity: the weights are damaged, or bf16 overflowed.
        """
        if self.encoder_batch > 1:
            embeddings = self.sam.encode_squares([square for _, (square, _) in images])
        else:
            embeddings = [self._embedding(piece, square) for piece, (square, _) in images]
        return [
            self._decode(piece, embedding, request)
            for (piece, (_, request)), embedding in zip(images, embeddings, strict=True)
        ]

    def _embedding(self, piece: Piece, square: Square) -> Embedding:
        if self._last is None or self._last[0] != piece.image:
            self._last = (piece.image, self.sam.encode_square(square))
        return self._last[1]

    def _decode(self, piece: Piece, embedding: Embedding, request: Request) -> Rows:
        with behind(self.sam.device.type) as apply:
            rows = extract_objects(
                self.sam,
                embedding,
                request,
                batch=self.batch,
                with_masks=self.name.with_masks,
                apply=apply,
            )
        _check_finite(str(self._table.file[piece.image]), rows)
        inputs = np.full(piece.stop - piece.start, self.cell.split.input_sha256(piece))
        return rows | {"input_sha256": inputs}

    def write(self, shard: Shard, rows: Rows) -> None:
        """Write the rows of a shard to the pool."""
        name = self.cell.split.names[shard.index]
        self.cell.put(name, rows, maker=device_name(self.sam.device))
        self.end(name)

    @property
    def _table(self) -> ObjectTable:
        return self.cell.split.table

    def _request(self, piece: Piece) -> Request:
        truth = [self._table.truth(row) for row in range(piece.start, piece.stop)]
        clicks, view = self._table.point_px[piece.start : piece.stop], self.name.view
        request = Request(clicks, np.stack(truth), view, self.name.prompts)
        _ = request.places  # computed here, where a faulty prompt set fails its image alone
        return request

    def _check_unchanged(self, image: int) -> None:
        file, prepared = str(self._table.file[image]), str(self._table.image_sha256[image])
        present = self.images.sha256(file)
        if present != prepared:
            raise ImageError(
                f"{self.images.path(file)} must be the file that stage prepare saw "
                f"(sha256 {prepared[:12]}...), got {present[:12]}...; run prepare again"
            )


def _check_finite(file: str, rows: Rows) -> None:
    for name in FINITE:
        n_faulty = int((~np.isfinite(rows[name])).sum())
        if n_faulty:
            raise WeightsError(
                f"{name} of {file} must be finite, got {n_faulty} others: the weights are "
                "damaged, or overflow in extract.precision"
            )
