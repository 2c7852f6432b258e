"""Declares every array of every store; writers, readers, checks and docs follow from ``SCHEMA``."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from zarr.codecs import ZstdCodec

from pipeline.embeddings import KEPT_AS, SUFFIXES
from pipeline.mask_statistics import AGREEMENTS, ENTROPIES
from pipeline.masks import CUTS
from pipeline.vocabulary import (
    JUDGED,
    N_PROPOSALS,
    OBJECT_SCORE,
    PROPOSAL_PAIRS,
    SINGLE_CLICKS,
    has_cuts,
)

SCHEMA_VERSION: Final = 4
"""Version of ``SCHEMA``, part of every signature.

Every change of ``SCHEMA`` raises it, except other arrays of ``entropy``, a new kind of store and
a new optional array of ``objects``: the stage ``entropy`` has a version of its own, and stores of
other kinds and without the array stay as they are."""

ROWS_VERSION: Final = 2
"""The oldest schema version with the same rows as ``SCHEMA_VERSION``. Digests of cells contain it,
so a newer version that changes no row leaves entropies and heads valid."""

SAME_TOKENS: Final[Mapping[object, int]] = MappingProxyType({9: 8, 10: 8})
"""By version of ``extract``, the oldest version with the same tokens, scores and statistics; other
versions are the oldest themselves. Cards of heads contain the oldest version, so a newer version
that only adds arrays or codes masks in another way leaves heads valid."""

CODEC: Final = ZstdCodec(level=3, checksum=True)
"""Caught 20 of 20 flipped bits, where Blosc caught 13 and zstd without its checksum none."""

Chunking = Literal["whole", "rows", "prompt_rows", "single_rows"]
Value = str | int | float | list[str] | list[int] | list[float]


@dataclass(frozen=True)
class ArraySpec:
    """Declaration of an array: dimensions, dtype, meaning, unit, and how it is cut into chunks.

    Attributes
    ----------
    dims
        Names of the dimensions; the first is that of the rows.
    unit
        Unit of the values; ``1`` if they have none.
    chunking
        ``whole``: one chunk for the array. ``rows``: a chunk for some 1,000 rows or more.
        ``prompt_rows``: such a chunk for each prompt set. ``single_rows``: a chunk for each row,
        and a file for each shard, which joins chunks.
    is_coordinate
        Whether the array names the places along a dimension, such as ``object_id``.
    """

    dims: tuple[str, ...]
    dtype: str
    meaning: str
    unit: str = "1"
    chunking: Chunking = "rows"
    is_coordinate: bool = False
    is_optional: bool = False
    """Whether a store may lack the array."""

    @property
    def is_constant(self) -> bool:
        """Whether the array is written once for a whole store, and not computed shard by shard."""
        return self.is_coordinate or self.chunking == "whole"

    @property
    def fill_value(self) -> str | int | float:
        """Value that zarr reads for a missing chunk: NaN for floats, so that losses show.

        It is 0 for integers and an empty text for text.
        """
        if self.dtype == "str":
            return ""
        return math.nan if self.dtype.startswith("float") else 0


def _coordinate(name: str, dtype: str, meaning: str) -> ArraySpec:
    return ArraySpec((name,), dtype, meaning, chunking="whole", is_coordinate=True)


_OBJECT_ID: Final = ArraySpec(
    ("object",), "int64", "id of the object's annotation in its data set", is_coordinate=True
)
_PROMPT: Final = _coordinate("prompt", "str", "prompt set")
_PROPOSAL: Final = _coordinate("proposal", "int64", "mask of a multimask call, in decoder order")

_OBJECTS: Final[Mapping[str, ArraySpec]] = {
    "file": ArraySpec(("image",), "str", "file of the image, below the split's folder"),
    "height_px": ArraySpec(("image",), "int32", "height of the image", unit="px"),
    "width_px": ArraySpec(("image",), "int32", "width of the image", unit="px"),
    "image_sha256": ArraySpec(("image",), "str", "sha256 of the image file's bytes"),
    "image_index": ArraySpec(("object",), "int32", "place of the object's image along `image`"),
    "object_id": _OBJECT_ID,
    "area_px": ArraySpec(("object",), "int64", "pixels of the ground truth mask", unit="px"),
    "box_px": ArraySpec(("object", "box"), "float32", "bounding box of the mask", unit="px"),
    "mask_rle": ArraySpec(("object",), "str", "ground truth mask, COCO's compressed RLE"),
    "point_px": ArraySpec(
        ("object", "click", "xy"), "int32", "clicks, pixels of the original image", unit="px"
    ),
    "annotator": ArraySpec(
        ("object",),
        "int32",
        "who outlined the object, counted from 0 in each image; only where several persons did",
        is_optional=True,
    ),
    "person_rle": ArraySpec(
        ("object", "person"),
        "str",
        "smallest segment of each person around the first click, COCO's compressed RLE; empty for "
        "a person without one; no cell depends on it",
        is_optional=True,
    ),
    "person_rle_p1": ArraySpec(
        ("object", "person"),
        "str",
        "the same around the click `p1`, which is drawn uniformly from the object",
        is_optional=True,
    ),
    "click": _coordinate("click", "str", "name of a click"),
    "xy": _coordinate("xy", "str", "axis of a point"),
    "box": _coordinate("box", "str", "side of a box"),
}

_FEATURES: Final[Mapping[str, ArraySpec]] = {
    "sam_score": ArraySpec(
        ("object", "prompt", "proposal"),
        "float32",
        "IoU that the decoder predicts for each proposal",
    ),
    "iou": ArraySpec(
        ("object", "prompt", "proposal"),
        "float32",
        "IoU of each proposal with the ground truth, at image resolution",
    ),
    "iou_at_cut": ArraySpec(
        ("object", "prompt", "proposal", "cut"),
        "float32",
        "`iou` of each proposal cut at other foreground probabilities; in view `identity` only",
        is_optional=True,
    ),
    "stability_score": ArraySpec(
        ("object", "prompt", "proposal"),
        "float32",
        "stability score of SAM2's mask generator: IoU of each proposal cut at logits 1 and -1, at "
        "image resolution; in view `identity` only",
        is_optional=True,
    ),
    "iou_token": ArraySpec(
        ("object", "prompt", "channel"),
        "float32",
        "decoder output token of the IoU",
        chunking="prompt_rows",
    ),
    "mask_token": ArraySpec(
        ("object", "prompt", "token", "channel"),
        "float32",
        "decoder output tokens of the masks; proposal k belongs to token k + 1",
        chunking="prompt_rows",
    ),
    OBJECT_SCORE: ArraySpec(
        ("object", "prompt"),
        "float32",
        "logit of the decoder for there being an object; families such as SAM 1 have none",
        is_optional=True,
    ),
    "area": ArraySpec(
        ("object", "prompt", "proposal"),
        "float32",
        "mean of p, the foreground probability of the low-resolution mask",
    ),
    "mask_entropy": ArraySpec(
        ("object", "prompt", "proposal"),
        "float32",
        "sum(p h2(p)) / sum(p): entropy of the mask (Eq. 3), of p itself and not of its code",
        unit="bit",
    ),
    "confidence": ArraySpec(
        ("object", "prompt", "proposal"),
        "float32",
        "soft Dice confidence, 2 sum(p m) / sum(p + m) with m = [p > 0.5]",
    ),
    "agreement": ArraySpec(
        ("object", "prompt", "pair"),
        "float32",
        "soft Dice of two proposals p and q, 2 sum(p q) / sum(p^2 + q^2)",
    ),
    "encoder_mean": ArraySpec(
        ("object", "encoder_channel"),
        "float32",
        "mean of each channel of the image encoder over its level, the same for all objects of an "
        "image; levels as the decoder receives them, the finest first",
    ),
    "encoder_std": ArraySpec(
        ("object", "encoder_channel"),
        "float32",
        "standard deviation of each channel of the image encoder over its level",
    ),
    "input_sha256": ArraySpec(
        ("object",),
        "str",
        "digest of what the row was computed from: the image, and the clicks and masks of the "
        "objects that were computed with it",
    ),
    "object_id": _OBJECT_ID,
    "prompt": _PROMPT,
    "proposal": _PROPOSAL,
    "token": _coordinate("token", "int64", "mask token: 0 single mask, 1..3 proposals 0..2"),
    "pair": _coordinate("pair", "str", "two proposals, in decoder order"),
    "cut": ArraySpec(
        ("cut",),
        "float64",
        "foreground probability above which a pixel is in the mask; in view `identity` only",
        chunking="whole",
        is_coordinate=True,
        is_optional=True,
    ),
    "images_sha256": ArraySpec(
        ("shard",), "str", "digest of the names and bytes of the shard's images", chunking="whole"
    ),
}

_MASKS: Final[Mapping[str, ArraySpec]] = {
    "mask_code": ArraySpec(
        ("object", "prompt", "proposal", "y", "x"),
        "uint8",
        "coded foreground probability of the low-resolution mask, in the unaugmented frame",
        chunking="single_rows",
    ),
    "probability": ArraySpec(
        ("code",), "float32", "foreground probability of each code", chunking="whole"
    ),
    "object_id": _OBJECT_ID,
    "prompt": _PROMPT,
    "proposal": _PROPOSAL,
}

_ENTROPY: Final[Mapping[str, ArraySpec]] = {
    **{
        entry.name: ArraySpec(
            entry.dims, "float32", entry.meaning, unit, is_optional=entry.is_optional
        )
        for unit, statistics in (("bit", ENTROPIES), ("1", AGREEMENTS))
        for entry in statistics
    },
    **{
        entropy.iou_name: ArraySpec(
            entropy.dims,
            "float32",
            f"IoU with the ground truth of the mean mask of `{entropy.name}`, cut at 0.5, at the "
            "size of the masks",
        )
        for entropy in ENTROPIES
    },
    "soft_dice": ArraySpec(
        ("object", "judged", "model"),
        "float32",
        "soft Dice confidence of the judged proposal: `confidence` of features",
    ),
    "object_id": _OBJECT_ID,
    "judged": _coordinate("judged", "str", "proposal of each prediction that counts"),
    "model": _coordinate("model", "str", "model θ"),
}

_LEVELS: Final = (
    ("finest_level", "finest_", "the level with four times the rows and columns of the embedding"),
    ("finer_level", "finer_", "the level with twice the rows and columns of the embedding"),
    ("image_embedding", "", "the image embedding, to which the decoder adds prompts"),
)

_EMBEDDINGS: Final[Mapping[str, ArraySpec]] = {
    "file": ArraySpec(
        ("image",), "str", "file of the image, below the folder of the images", is_coordinate=True
    ),
    "height_px": ArraySpec(("image",), "int32", "height of the image", unit="px"),
    "width_px": ArraySpec(("image",), "int32", "width of the image", unit="px"),
    "image_sha256": ArraySpec(("image",), "str", "sha256 of the image file's bytes"),
    "pixels_sha256": ArraySpec(
        ("image",), "str", 'sha256 of "HEIGHT x WIDTH\\n" and the upright RGB pixels, row by row'
    ),
    "input_sha256": ArraySpec(
        ("image",), "str", "digest of the image's file: of its name and its sha256"
    ),
    "levels_sha256": ArraySpec(
        ("image",),
        "str",
        "sha256 of the image's levels: of the name of each array, a line break, and its bytes",
    ),
    "encoder_mean": ArraySpec(
        ("image", "encoder_channel"),
        "float32",
        "mean of each channel of the image encoder over its level, as in `features`",
    ),
    "encoder_std": ArraySpec(
        ("image", "encoder_channel"),
        "float32",
        "standard deviation of each channel of the image encoder over its level",
    ),
    **{
        f"{level}{suffix}": ArraySpec(
            ("image", f"{prefix}channel", f"{prefix}row", f"{prefix}column"),
            KEPT_AS[level_type],
            f"{meaning}, in {level_type}"
            f"{': the 16 bits of each number' if level_type == 'bfloat16' else ''}",
            chunking="single_rows",
            is_optional=True,
        )
        for level, prefix, meaning in _LEVELS
        for level_type, suffix in SUFFIXES.items()
        if (level, level_type) != ("image_embedding", "bfloat16")
    },
}

SCHEMA: Final[Mapping[str, Mapping[str, ArraySpec]]] = MappingProxyType(
    {
        "objects": _OBJECTS,
        "features": _FEATURES,
        "masks": _MASKS,
        "embeddings": _EMBEDDINGS,
        "entropy": _ENTROPY,
    }
)
"""Arrays by kind of store, then by name."""


def specs_of(kind: str, names: Container[str]) -> dict[str, ArraySpec]:
    """Declarations of the arrays of a kind of store, by name; optional arrays if in ``names``."""
    return {
        name: spec for name, spec in SCHEMA[kind].items() if not spec.is_optional or name in names
    }


def cell_specs(
    kind: str, view: str, prompts: Sequence[str], *, has_object_score: bool = True
) -> dict[str, ArraySpec]:
    """Declarations of the arrays of a cell's features or masks, by name.

    Cells that ``has_cuts`` have all optional arrays, others the object score alone; models of some
    families have none.
    """
    names = {*SCHEMA[kind]} if has_cuts(view, prompts) else {OBJECT_SCORE}
    return specs_of(kind, names if has_object_score else names - {OBJECT_SCORE})


FIXED_COORDINATES: Final[Mapping[str, tuple[str | float, ...]]] = MappingProxyType(
    {
        "click": SINGLE_CLICKS,
        "xy": ("x", "y"),
        "box": ("x", "y", "w", "h"),
        "judged": JUDGED,
        "proposal": tuple(range(N_PROPOSALS)),
        "token": tuple(range(N_PROPOSALS + 1)),
        "cut": CUTS,
        "pair": tuple(f"{first}-{second}" for first, second in PROPOSAL_PAIRS),
    }
)
"""Values of the coordinates that are the same in every store, by name of the coordinate."""

MASK_FORMULA: Final = "q = round(75 * 2/pi * asin(sqrt(p))), p = probability[q]"
"""Formula by which ``mask_code`` codes a probability; an attribute of every masks store."""
