"""Steps of extracting a cell, and the loop that overlaps reading and writing with the model."""

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from time import perf_counter
from typing import Final, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch

from pipeline.embeddings import StoredEmbedding, levels_sha256, pixels_sha256
from pipeline.extraction.predictions import Apply, Request, Rows, extract_objects, request_in
from pipeline.extraction.shards import Piece, Shard
from pipeline.prompt_kinds import PromptError
from pipeline.sam.model import Embedding, Sam, Square
from pipeline.views import Rgb, apply_view
from stages.extraction.models import device_name
from stages.program.main import one_line
from stages.program.progress import ahead
from storage.errors import ImageError, StoreError, WeightsError
from storage.images.videos import SplitImages
from storage.pool.cell import WORK, Cell
from storage.split.object_table import ObjectTable

T = TypeVar("T")


class Threads(NamedTuple):
    """Numbers of threads that read images and write shards while a model computes.

    As many images as readers, and ``encoder_batch`` - 1 more, are read in advance. No more shards
    than writers are in writing at a time.
    """

    n_readers: int
    n_writers: int


class Steps(Protocol[T]):
    """The steps that ``run_shards`` calls; only the steps know where images are."""

    @property
    def encoder_batch(self) -> int:
        """Largest number of images in one call of ``compute``."""

    @property
    def threads(self) -> Threads:
        """Numbers of threads that read, and that write shards."""

    def read(self, piece: Piece) -> T | ImageError:
        """Read the image of a piece (an image's objects within a shard), or return the error.

        It is called from several threads.
        """

    def compute(self, images: Sequence[tuple[Piece, T]]) -> list[Rows]:
        """Run the model on up to ``encoder_batch`` images of one shard; return rows per image."""


Write = Callable[[Shard, Sequence[Rows]], None]
"""Writes a shard, given the rows of each of its images; it is called from several threads."""


def run_shards(
    shards: Iterable[Shard], steps: Steps[T], write: Write, advance: Callable[[int], None]
) -> dict[int, str]:
    """Read, compute and write shards; a shard with an unreadable image is not written.

    Errors of ``steps`` and ``write`` end the run; shards that are being written then are finished.

    Parameters
    ----------
    shards
        Shards to extract; the next shard is requested shortly before its images are read.
    advance
        Called with the number of objects, or of images to encode, that were just computed.

    Returns
    -------
    Error messages of the images that failed, by index of the image in the split.
    """
    failures: dict[int, str] = {}
    n_readers, n_writers = steps.threads
    # At its end, also after an error, the block waits for the shards that are being written.
    with (
        ThreadPoolExecutor(n_readers) as readers,
        ThreadPoolExecutor(n_writers) as writers,
    ):
        todo = ((shard, piece) for shard in shards for piece in shard.pieces)
        n_ahead = n_readers + steps.encoder_batch - 1
        images = ahead(readers, lambda job: (*job, steps.read(job[1])), todo, n=n_ahead)
        writing: deque[Future[None]] = deque()
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
            if len(writing) == n_writers:
                writing.popleft().result()  # memory stays flat, errors surface
            if not failed:
                writing.append(writers.submit(write, shard, rows))
        for future in writing:
            future.result()
    return failures


def writer_of(
    cell: Cell, device: torch.device, end: Callable[[str], None] = lambda _: None
) -> Write:
    """Make a function that writes shards of a cell, computed on a device, to the pool.

    ``end`` is called with the name of each shard after it was written. Shards say which host and
    job of SLURM has computed them, and in how many seconds.
    """
    maker = device_name(device)
    host, job = socket.gethostname(), os.environ.get("SLURM_JOB_ID", "")
    began = perf_counter()

    def write(shard: Shard, rows: Sequence[Rows]) -> None:
        name = cell.split.names[shard.index]
        joined = {key: np.concatenate([piece[key] for piece in rows]) for key in rows[0]}
        nonlocal began
        before, began = began, perf_counter()
        work = zip(WORK, (host, job, f"{began - before:.3f}"), strict=True)
        cell.put(name, joined, maker=maker, work=dict(work))
        end(name)

    return write


FINITE: Final = ("sam_score", "encoder_std")
"""Arrays of a model's output that are checked for NaN and infinity.

``encoder_std`` covers the finer levels, from which only masks are made.
"""

ViewedImage = tuple[Square | StoredEmbedding, Request]
"""An image after its view, resized for the model, or its stored embedding; and its request.

The request says which prompt sets of its objects to predict.
"""


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
    """The ``Steps`` that extract the shards of one cell with a model into the pool.

    With an encoder batch of 1, the last embedding stays in memory: an image whose objects lie in
    two consecutive shards is encoded once. Encoding it again would give the same embedding, so a
    shard's bytes do not depend on the shards before it. In a larger batch, the last digits depend
    on the other images, so no embedding is kept for the next shard.
    """

    sam: Sam
    cell: Cell
    images: SplitImages
    embeddings: Cell | None = None
    """Embeddings in the pool; an image with an embedding is neither read nor encoded."""
    computing_s: float = field(default=0.0, init=False)
    """Seconds in which ``compute`` has run."""
    _last: tuple[int, Embedding] | None = field(default=None, init=False)

    @property
    def encoder_batch(self) -> int:
        """Number of images per call of the encoder."""
        return cast("int", self.cell.signature["encoder_batch"])

    @property
    def batch(self) -> int:
        """Number of prompt sets per decoder call."""
        return cast("int", self.cell.signature["decoder_batch"])

    @property
    def threads(self) -> Threads:
        """Numbers of threads beside the model, which takes the processors on a CPU."""
        return _threads(self.images, self.sam)

    def read(self, piece: Piece) -> ViewedImage | ImageError:
        """Read, augment and resize the image of a piece; decode its objects' ground truth masks.

        If the pool has the embedding of the image, the image is not read. An unreadable image or a
        faulty prompt set is returned as an ``ImageError``; a server that does not answer is raised.
        """
        try:
            request = self._request(piece)
            if stored := self._stored(piece.image):
                return stored, request
            rgb = _read_image(self.images, self._table, piece.image)
        except (ImageError, OSError, PromptError) as error:
            return ImageError(one_line(error))
        viewed = apply_view(rgb, self.cell.name.view, image=str(self._table.file[piece.image]))
        return self.sam.square(viewed), request

    def _stored(self, image: int) -> StoredEmbedding | None:
        """Embedding of an image from the pool; None if it is absent or, with a note, damaged."""
        try:
            return self.embeddings.read_embedding(image) if self.embeddings else None
        except (StoreError, OSError) as error:
            print(f"note: {one_line(error)}; the image is encoded again", file=sys.stderr)
            return None

    def compute(self, images: Sequence[tuple[Piece, ViewedImage]]) -> list[Rows]:
        """Encode images of one shard, and decode every prompt set of their objects."""
        started = perf_counter()
        if self.encoder_batch > 1:
            squares = [square for _, (square, _) in images if isinstance(square, Square)]
            embeddings = self.sam.encode_squares(squares)
        else:
            embeddings = []
            for piece, (source, _) in images:
                if self._last is None or self._last[0] != piece.image:
                    if isinstance(source, Square):
                        self._last = (piece.image, self.sam.encode_square(source))
                    else:
                        self._last = (piece.image, self.sam.restore(source))
                embeddings.append(self._last[1])
        rows = [
            self._decode(piece, embedding, request)
            for (piece, (_, request)), embedding in zip(images, embeddings, strict=True)
        ]
        self.computing_s += perf_counter() - started
        return rows

    def _decode(self, piece: Piece, embedding: Embedding, request: Request) -> Rows:
        with behind(self.sam.device.type) as apply:
            rows = extract_objects(
                self.sam,
                embedding,
                request,
                batch=self.batch,
                with_masks=self.cell.name.with_masks,
                apply=apply,
            )
        _check_finite(str(self._table.file[piece.image]), rows, FINITE)
        inputs = np.full(piece.stop - piece.start, self.cell.split.input_sha256(piece))
        return rows | {"input_sha256": inputs}

    @property
    def _table(self) -> ObjectTable:
        return self.cell.split.table

    def _request(self, piece: Piece) -> Request:
        truth = [self._table.truth(row) for row in range(piece.start, piece.stop)]
        clicks, name = self._table.point_px[piece.start : piece.stop], self.cell.name
        request = request_in(name.view, clicks, np.stack(truth), name.prompts)
        _ = request.places  # computed here, where a faulty prompt set fails its image alone
        return request


@dataclass
class EmbeddingSteps:
    """The ``Steps`` that encode images of a split or a folder one by one."""

    sam: Sam
    cell: Cell
    images: SplitImages
    encoder_batch: int = 1

    @property
    def threads(self) -> Threads:
        """Numbers of threads beside the model, which takes the processors on a CPU."""
        return _threads(self.images, self.sam)

    def read(self, piece: Piece) -> tuple[Square, str] | ImageError:
        """Read and resize an image; return it with the digest of its pixels.

        An unreadable image is returned as an ``ImageError``; a server that does not answer is
        raised.
        """
        try:
            rgb = _read_image(self.images, self.cell.split.table, piece.image)
        except (ImageError, OSError) as error:
            return ImageError(one_line(error))
        return self.sam.square(rgb), pixels_sha256(rgb)

    def compute(self, images: Sequence[tuple[Piece, tuple[Square, str]]]) -> list[Rows]:
        """Encode the images one by one; return one row of arrays per image."""
        return [self._encode(piece, *image) for piece, image in images]

    def _encode(self, piece: Piece, square: Square, sha256_of_pixels: str) -> Rows:
        table, image = self.cell.split.table, piece.image
        embedding = self.sam.encode_square(square)
        levels = embedding.levels()
        text = np.dtypes.StringDType()
        of_image = {
            **{name: getattr(table, name)[image] for name in ("height_px", "width_px")},
            **{name: values.cpu().numpy() for name, values in embedding.statistics.items()},
            **levels,
        }
        texts = {
            "input_sha256": self.cell.split.input_sha256(piece),
            "image_sha256": str(table.image_sha256[image]),
            "pixels_sha256": sha256_of_pixels,
            "levels_sha256": levels_sha256(levels),
        }
        rows = {name: np.asarray(values)[np.newaxis] for name, values in of_image.items()}
        _check_finite(str(table.file[image]), rows, ("encoder_std",))
        return rows | {name: np.array([value], text) for name, value in texts.items()}


def _read_image(images: SplitImages, table: ObjectTable, image: int) -> Rgb:
    return images.read(
        str(table.file[image]),
        height_px=int(table.height_px[image]),
        width_px=int(table.width_px[image]),
        sha256=str(table.image_sha256[image]),
    )


def _threads(images: SplitImages, sam: Sam) -> Threads:
    """Numbers of threads: beside a GPU, a reader per processor or more, and up to 4 writers.

    Zarr compresses masks in threads of its own, so a few writers use many processors. Each holds
    the masks of a shard in memory: 230 MB for 128 objects.
    """
    if sam.device.type == "cpu":  # the model takes the processors
        return Threads(images.n_readers, 1)
    n_processors = len(os.sched_getaffinity(0))
    return Threads(max(images.n_readers, n_processors), max(1, min(4, n_processors // 2)))


def _check_finite(file: str, rows: Rows, names: Sequence[str]) -> None:
    for name in names:
        n_faulty = int((~np.isfinite(rows[name])).sum())
        if n_faulty:
            raise WeightsError(
                f"{name} of {file} must be finite, got {n_faulty} others: the weights are "
                "damaged, or overflow in extract.precision"
            )
