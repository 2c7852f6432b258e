"""The steps of one cell's extraction: where its images, its model and its rows are."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import numpy as np

from pipeline.extraction.plan import Piece, Shard
from pipeline.extraction.predictions import Each, Request, Rows, extract_objects
from pipeline.prompt_kinds import PromptError
from pipeline.sam.model import Embedding, Sam, Square
from pipeline.views import View, apply_view
from stages.extraction.loop import Failure, ahead
from stages.program.main import one_line
from storage.cell.making import Cell
from storage.cell.parts import Part, joined
from storage.cell.reuse import MadeRows
from storage.errors import ImageError, WeightsError
from storage.images.videos import SplitImages
from storage.rle import decode_rle
from storage.split.objects import ObjectTable, input_sha256
from storage.store.marks import receipt_of


@dataclass(frozen=True)
class ViewedImage:
    """An image in its view, resized, and the request about its objects.

    Attributes
    ----------
    request
        For the prompt sets that no part has.
    parts
        Rows that other cells hold.
    """

    square: Square
    request: Request
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class CellSettings:
    """What the rows of a cell depend on, apart from the model and the objects."""

    view: View
    prompts: tuple[str, ...]
    decoder_batch: int
    with_masks: bool


@contextmanager
def behind(device: str) -> Iterator[Each]:
    """On a CPU, a thread that scores and codes one decoder call while the next one decodes.

    A GPU is given the work of all calls before it has done the first.
    """
    if device != "cpu":
        yield map
        return
    with ThreadPoolExecutor(1) as pool:
        yield partial(ahead, pool, n=1)


@dataclass
class CellSteps:
    """``stages.extraction.loop.Steps`` of one cell.

    An image whose objects lie in two shards is encoded once: the last embedding is kept. Encoding
    again would give the same one, so a shard's bytes do not depend on what ran before.
    """

    sam: Sam
    cell: Cell
    table: ObjectTable
    images: SplitImages
    images_sha256: list[str]
    """Digest of the images in each shard."""
    settings: CellSettings
    made: MadeRows = field(default_factory=MadeRows)
    """Rows that other cells hold already."""
    device: str = ""
    """Name of the processor, for the receipts."""
    release: Callable[[int], None] = lambda _: None
    """Called with each shard that is written."""
    kinds: set[str] = field(default_factory=set, init=False)
    """Names of all that the rows written come from."""
    _seconds: dict[int, float] = field(default_factory=dict, init=False)
    _kinds: dict[int, frozenset[str]] = field(default_factory=dict, init=False)
    _ready: float = field(default=0.0, init=False)
    _last: tuple[int, Embedding] | None = field(default=None, init=False)

    def read(self, piece: Piece) -> ViewedImage | Failure:
        """Read, augment and resize an image; decode the true masks of its objects."""
        file = str(self.table.file[piece.image])
        height, width = self._size_px(piece)
        parts = self.made.parts(self.digest(piece))
        try:
            self._check_unchanged(piece.image)
            rgb = self.images.read(file, height_px=height, width_px=width)
            request = self._request(piece, self._lacking(parts))
        except (ImageError, OSError, PromptError) as error:
            return Failure(piece, one_line(error))
        viewed = apply_view(rgb, self.settings.view, image=file)
        return ViewedImage(self.sam.square(viewed), request, tuple(parts))

    def _request(self, piece: Piece, prompts: tuple[str, ...]) -> Request:
        rows, size_px = slice(piece.start, piece.stop), self._size_px(piece)
        truth = [decode_rle(str(counts), *size_px) for counts in self.table.mask_rle[rows]]
        clicks, view = self.table.point_px[rows], self.settings.view
        request = Request(clicks, np.stack(truth), view, prompts)
        _ = request.places  # here, where a faulty prompt set costs its image alone
        return request

    def _size_px(self, piece: Piece) -> tuple[int, int]:
        """Height and width of the image."""
        return int(self.table.height_px[piece.image]), int(self.table.width_px[piece.image])

    def compute(self, piece: Piece, given: ViewedImage) -> Rows:
        """Encode the image, unless it was the last one, and decode what no other cell holds.

        Raises
        ------
        WeightsError
            If a SamScore is not finite: the weights are damaged, or bf16 overflowed.
        """
        began = self._ready or perf_counter()
        computed = self._computed(piece, given) if given.request.prompts else []
        # Since the last image, so that what the model waits for counts.
        self._ready = perf_counter()
        self._seconds[piece.start] = self._ready - began
        return self._whole(piece, [*given.parts, *computed])

    def _computed(self, piece: Piece, given: ViewedImage) -> list[Part]:
        if self._last is None or self._last[0] != piece.image:
            self._last = (piece.image, self.sam.encode_square(given.square))
        with behind(self.sam.device.type) as each:
            rows = extract_objects(
                self.sam,
                self._last[1],
                given.request,
                batch=self.settings.decoder_batch,
                with_masks=self.settings.with_masks,
                each=each,
            )
        n_faulty = int((~np.isfinite(rows["sam_score"])).sum())
        if n_faulty:
            raise WeightsError(
                f"SamScores of {self.table.file[piece.image]} must be finite, got {n_faulty} "
                "others: the weights are damaged, or overflow in extract.precision"
            )
        return [Part(given.request.prompts, frozenset({self.device}), rows)]

    def digest(self, piece: Piece) -> str:
        """Digest of what the rows of a piece are computed from."""
        return input_sha256(self.table, slice(piece.start, piece.stop))

    def recall(self, shard: Shard, piece: Piece) -> Rows | None:
        """Rows that an earlier run kept, or that another cell holds."""
        digest = self.digest(piece)
        lacking = self.made.lacking(digest)
        kinds = self.made.kinds(digest) | ({self.device} if lacking else set())
        origin = self._origin(piece, kinds)
        if (kept := self.cell.load_piece(shard.index, piece.image, origin=origin)) is not None:
            self._kinds[piece.start] = kinds
            return kept
        parts = [] if lacking else self.made.parts(digest)
        return None if self._lacking(parts) else self._whole(piece, parts)

    def keep(self, shard: Shard, piece: Piece, rows: Rows) -> None:
        """Keep the rows of an image in the work folder."""
        origin = self._origin(piece, self._kinds[piece.start])
        self.cell.keep_piece(shard.index, piece.image, rows, origin=origin)

    def write(self, shard: Shard, rows: Rows) -> None:
        """Write a shard and mark it."""
        # Rows that were recalled took no time.
        computed = [piece for piece in shard.pieces if piece.start in self._seconds]
        seconds = sum((self._seconds.pop(piece.start) for piece in computed), 0.0)
        n_objects = sum(piece.stop - piece.start for piece in computed)
        kinds = frozenset[str]().union(*(self._kinds.pop(piece.start) for piece in shard.pieces))
        receipt = receipt_of(self.device, n_objects, seconds, kinds=kinds)
        self.cell.write_shard(shard.index, rows, self.images_sha256[shard.index], receipt)
        self.kinds |= kinds
        self.release(shard.index)

    def _lacking(self, parts: Sequence[Part]) -> tuple[str, ...]:
        """Prompt sets that no part has."""
        held = {prompt for part in parts for prompt in part.prompts}
        return tuple(prompt for prompt in self.settings.prompts if prompt not in held)

    def _whole(self, piece: Piece, parts: Sequence[Part]) -> Rows:
        """All rows of a piece, from parts that have all prompt sets together."""
        self._kinds[piece.start] = frozenset[str]().union(*(part.kinds for part in parts))
        rows = joined(parts, self.settings.prompts)
        return rows | {"input_sha256": np.full(piece.stop - piece.start, self.digest(piece))}

    def _origin(self, piece: Piece, kinds: Collection[str]) -> str:
        """What the rows of a piece follow from: kinds of device differ in the last digits."""
        return f"{self.table.image_sha256[piece.image]} on {', '.join(sorted(kinds))}"

    def _check_unchanged(self, image: int) -> None:
        file, known = str(self.table.file[image]), str(self.table.image_sha256[image])
        found = self.images.sha256(file)
        if found != known:
            raise ImageError(
                f"{self.images.path(file)} must be the file that stage prepare saw "
                f"(sha256 {known[:12]}...), got {found[:12]}...; run prepare again"
            )
