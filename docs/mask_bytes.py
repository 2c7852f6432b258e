"""Ways to store masks in fewer bytes, measured: ``python -m docs.mask_bytes [FOLDER]``.

Masks are those of the four mini models, under every prompt set and six views: of drawn scenes at
their own 64 x 64, and of photographs with their logits drawn to 256 x 256 before they are coded, as
large as those of Meta's models. Clicks on photographs lie in a box in the middle.

Reads   the mini weights; photographs (``*.jpg``) below FOLDER, without which scenes stand for them.
Writes  the part of ``docs/cache.md`` between ``<!-- mask-bytes -->`` and ``<!-- /mask-bytes -->``.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from numba import njit
from numcodecs.blosc import Blosc  # type: ignore[import-untyped]
from numcodecs.zstd import compress, decompress  # type: ignore[import-untyped]
from torch.nn.functional import interpolate

from pipeline.extraction.predictions import encode_logits
from pipeline.prompts import sample_prompts
from pipeline.sam.building import build, fit_weights, load_weights
from pipeline.sam.model import Sam
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.views import apply_view, default_view, map_points, unview
from pipeline.vocabulary import MODELS
from storage.checkpoints.weights import verified_weights
from storage.images.files import read_rgb
from tools.blocks import replace_block

PAGE: Final = Path("docs", "cache.md")

VIEWS: Final = ("identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise")
N_SCENES: Final = 12
N_PHOTOGRAPHS: Final = 6
SCENE_PX: Final = 256
DRAWN_PX: Final = 256
"""Side of the masks of photographs."""

N_ROUNDS: Final = 3
"""Of decompression; the fastest counts."""

Code = UInt8[np.ndarray, "mask y x"]
"""Masks of one object in one cell: nine prompt sets of three proposals."""

Bytes = Callable[[np.ndarray], bytes]


@dataclass(frozen=True)
class Masks:
    """Masks of one object by view, ``identity`` first."""

    by_view: tuple[Code, ...]


@dataclass(frozen=True)
class Way:
    """A way to store masks."""

    words: str
    turn: Callable[[Code, Code], np.ndarray] = lambda code, _: code
    """Values to compress, from an object's masks and those of the view ``identity``."""
    back: Callable[[np.ndarray, Code], None] = lambda *_: None
    """Turns values into masks again, in place; nothing to do where they are read as they are."""
    pack: Bytes = lambda values: bytes(compress(values, 3, checksum=True))
    unpack: Callable[[bytes, np.ndarray], object] = decompress
    n_objects: int = 1
    """Objects in a chunk."""


def _zstd(level: int) -> Bytes:
    return lambda values: bytes(compress(values, level, checksum=True))


@njit(nogil=True)
def _add_rows(values, _):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for mask in range(values.shape[0]):
        for y in range(1, values.shape[1]):
            for x in range(values.shape[2]):
                values[mask, y, x] += values[mask, y - 1, x]


@njit(nogil=True)
def _add_columns(values, _):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for mask in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(1, values.shape[2]):
                values[mask, y, x] += values[mask, y, x - 1]


def _add_both(values: np.ndarray, identity: Code) -> None:
    _add_columns(values, identity)
    _add_rows(values, identity)


def _add_identity(values: np.ndarray, identity: Code) -> None:
    values += identity


def _rows(code: Code, _: Code) -> np.ndarray:
    return np.diff(code, axis=1, prepend=np.uint8(0))


def _columns(code: Code, _: Code) -> np.ndarray:
    return np.diff(code, axis=2, prepend=np.uint8(0))


def _both(code: Code, identity: Code) -> np.ndarray:
    return _columns(_rows(code, identity), identity)


def _less_identity(code: Code, identity: Code) -> np.ndarray:
    return code - identity if code is not identity else code


_BITSHUFFLE: Final = Blosc("zstd", clevel=5, shuffle=Blosc.BITSHUFFLE)

WAYS: Final = (
    Way("zstd 3, a chunk an object (as stored)"),
    *(Way(f"zstd {level}", pack=_zstd(level)) for level in (9, 15, 19, 22)),
    Way("axes y, mask, x", lambda code, _: np.ascontiguousarray(code.transpose(1, 0, 2))),
    Way("axes y, x, mask", lambda code, _: np.ascontiguousarray(code.transpose(1, 2, 0))),
    Way("four objects a chunk", n_objects=4),
    Way("four objects a chunk, zstd 19", pack=_zstd(19), n_objects=4),
    Way(
        "Blosc: bits shuffled, zstd 5",
        pack=lambda values: bytes(_BITSHUFFLE.encode(values)),
        unpack=_BITSHUFFLE.decode,
    ),
    Way("difference from the row before", _rows, _add_rows),
    Way("difference from the column before", _columns, _add_columns),
    Way("both differences", _both, _add_both),
    Way("both differences, zstd 19", _both, _add_both, _zstd(19)),
    Way("difference from `identity`, other views", _less_identity, _add_identity),
)


@dataclass(frozen=True)
class Measured:
    """Of one way: bytes a mask, and seconds of packing and of unpacking an object."""

    mask_bytes: float
    pack_s: float
    unpack_s: float


def main() -> None:
    """Measure and write."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else None
    block = "\n\n".join(
        _table(title, list(objects))
        for title, objects in (
            ("Masks of drawn scenes, 64 x 64", _scenes()),
            ("Masks of photographs, drawn to 256 x 256", _photographs(folder)),
        )
    )
    replace_block(PAGE, "mask-bytes", f"\n{block}\n")


def _table(title: str, objects: Sequence[Masks]) -> str:
    measured = [(way, _measure(way, objects)) for way in WAYS]
    first = measured[0][1]
    lines = [
        f"{title} ({first.mask_bytes:,.0f} bytes a mask as stored):",
        "",
        "| way | bytes | time to compress | time to read |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {way.words} | {found.mask_bytes / first.mask_bytes:.2f}x "
            f"| {found.pack_s / first.pack_s:.1f}x | {found.unpack_s / first.unpack_s:.2f}x |"
            for way, found in measured
        ),
    ]
    return "\n".join(lines)


def _measure(way: Way, objects: Sequence[Masks]) -> Measured:
    """Pack and unpack every object's masks of every view; they must come back as they were."""
    n_bytes, pack_s, unpack_s, n_masks = 0, 0.0, 0.0, 0
    for chunk in _chunks(way, objects):
        started = time.thread_time()
        values = way.turn(*chunk)
        packed = way.pack(values)
        pack_s += time.thread_time() - started
        memory = np.empty_like(values)
        seconds = []
        for _ in range(N_ROUNDS):
            started = time.thread_time()
            way.unpack(packed, memory)
            if chunk[0] is not chunk[1] or way.back is not _add_identity:
                way.back(memory, chunk[1])
            seconds.append(time.thread_time() - started)
        unpack_s += min(seconds)
        again = np.empty_like(values)
        way.unpack(packed, again)
        np.testing.assert_array_equal(again, values)
        if memory.shape == chunk[0].shape:  # in the order of the axes as stored
            np.testing.assert_array_equal(memory, chunk[0])
        n_bytes += len(packed)
        n_masks += len(chunk[0])
    return Measured(n_bytes / n_masks, pack_s / n_masks, unpack_s / n_masks)


def _chunks(way: Way, objects: Sequence[Masks]) -> Iterator[tuple[Code, Code]]:
    """Masks that share a chunk, and those of the same objects in the view ``identity``."""
    for start in range(0, len(objects), way.n_objects):
        some = objects[start : start + way.n_objects]
        identity = np.concatenate([one.by_view[0] for one in some])
        yield identity, identity
        for view in range(1, len(VIEWS)):
            yield np.concatenate([one.by_view[view] for one in some]), identity


def _scenes() -> Iterator[Masks]:
    for seed in scene_seeds(1, "val", N_SCENES):
        scene = draw_scene(seed, SCENE_PX)
        points = sample_prompts(scene.masks[0], 0)
        for model in MODELS:
            yield _predicted(_sam(model), scene.rgb, points, None)


def _photographs(folder: Path | None) -> Iterator[Masks]:
    paths = sorted(folder.rglob("*.jpg"))[:N_PHOTOGRAPHS] if folder else []
    seeds = scene_seeds(2, "val", N_PHOTOGRAPHS)
    images = [read_rgb(path) for path in paths] or [draw_scene(seed, 512).rgb for seed in seeds]
    for place, rgb in enumerate(images):
        height, width = rgb.shape[:2]
        middle = np.zeros((height, width), bool)
        middle[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
        sam = _sam(MODELS[place % len(MODELS)])
        yield _predicted(sam, rgb, sample_prompts(middle, 0), DRAWN_PX)


def _sam(model: str) -> Sam:
    path, _ = verified_weights("mini", model)
    net = build("mini", model, seed=0)
    fit_weights(net, load_weights(str(path)), source=str(path))
    return Sam(net, device=torch.device("cpu"), precision="fp32")


def _predicted(sam: Sam, rgb: np.ndarray, points: np.ndarray, side_px: int | None) -> Masks:
    """Masks of one object, as they are stored or their logits drawn to another size."""
    height, width = rgb.shape[:2]
    by_view = []
    for view in map(default_view, VIEWS):
        embedding = sam.encode(apply_view(rgb, view, image="measured"))
        clicks = map_points(points, view, height_px=height, width_px=width)
        found = [
            sam.decode(embedding, some) for some in (clicks[:, np.newaxis], clicks[np.newaxis])
        ]
        logits = unview(torch.cat([decoded.logits for decoded in found]), view)
        if side_px:
            size = (side_px, side_px)
            logits = interpolate(logits, size, mode="bilinear", align_corners=False)
        by_view.append(encode_logits(logits).flatten(0, 1).numpy())
    return Masks(tuple(by_view))


if __name__ == "__main__":
    main()
