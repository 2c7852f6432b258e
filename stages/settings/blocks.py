"""The blocks of ``params.yaml`` as classes: each setting with its type and constraint."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, GetPydanticSchema, StrictInt, StrictStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from pipeline.heads.kinds import RANGES
from pipeline.sam.families import FAMILIES
from pipeline.scenes.scene import MIN_SIZE_PX
from stages.settings.parsing import strict
from storage.checkpoints.weights import FILE, RANDOM
from storage.datasets.object_records import Masklets, Objects, Source
from storage.datasets.readers import DATA_SETS, DataSet
from storage.files.addresses import is_address

T = TypeVar("T")

SEED_MAX: Final = 2**32 - 1
"""Largest seed that numpy, PyTorch and SMAC3 all accept."""

TEXT_MAX: Final = 1000


def text(is_valid: Callable[[str], object], rule: str) -> BeforeValidator:
    """Constraint of a text setting, in error messages as ``rule``."""

    def check(value: object) -> object:
        if not isinstance(value, str) or not is_valid(value):
            raise PydanticCustomError("text", "Text should be {rule}", {"rule": rule})
        return value

    return BeforeValidator(check)


def one_of(words: Collection[str]) -> GetPydanticSchema:
    """Constraint of a text setting: one of ``words``, a ``Literal`` that is made at run time."""
    return GetPydanticSchema(lambda _type, _handler: core_schema.literal_schema([*words]))


def _in_range(name: str) -> FieldInfo:
    low, high = RANGES[name]
    return cast("FieldInfo", Field(ge=low, le=high, strict=True))


def _each_once(items: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(items)) < len(items):
        raise PydanticCustomError("repeated", "List should have each item once")
    return items


Unique = Annotated[tuple[T, ...], AfterValidator(_each_once)]
"""Type of a setting: a list without repeated items."""

SomeUnique = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_each_once)]
"""Type of a setting: a list of at least one item, without repeated items."""

Seed = Annotated[StrictInt, Field(ge=0, le=SEED_MAX)]
Count = Annotated[StrictInt, Field(ge=1, le=10**9)]
Limit = Count | None
Text = Annotated[
    str,
    text(
        lambda value: value.isprintable() and value.strip() and len(value) <= TEXT_MAX,
        f"text of one line of at most {TEXT_MAX} characters",
    ),
]
SplitName = Annotated[
    str,
    # Names become folders, stages of DVC and arguments of a shell.
    text(
        re.compile("[A-Za-z0-9_][A-Za-z0-9_-]{0,99}").fullmatch,
        "named by letters, digits, _ and, not first, -",
    ),
]

WALLTIME: Final = re.compile(r"([0-9]+-)?[0-9]{1,3}:[0-9]{2}:[0-9]{2}")
"""Pattern of a time limit of SLURM, such as ``2-00:00:00``."""

SCHEDULER: Final = re.compile(
    r"((tcp|tls|ws|wss|ucx)://)?(\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+):[0-9]{1,5}"
)
"""Pattern of the address of a Dask scheduler, such as ``tcp://login1:8786``."""

OPTIONS: Final = tuple(option.name for option in fields(Source))[2:]
"""Keys of a block in ``splits`` that only some readers use."""

PaperDataSet = Literal["DAVIS", "ADE20k", "MOSE", "COCO", "SA-V"]


@strict
class FrameRange:
    """Range of the annotated frames to read from each video, counted from 0, ``end`` excluded."""

    start: Annotated[StrictInt, Field(ge=0, le=10**9)] = 0
    end: Limit = None
    stride: Count = 1

    def __post_init__(self) -> None:
        """Refuse a range without a frame: its end must lie behind its start."""
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end must lie behind start, {self.start}, got {self.end}")


@strict
class Split:
    """A block in ``splits``: the reader, images and annotations of a split, and ``OPTIONS``."""

    reader: Annotated[str, one_of(tuple(DATA_SETS))]
    images: Text
    annotations: Text
    max_objects: Limit = None
    max_objects_per_image: Limit = None
    list: Text | None = None
    frames: FrameRange | None = None
    subsets: SomeUnique[Text] | None = None
    masklets: Masklets | None = None
    objects: Objects | None = None
    void: SomeUnique[Annotated[StrictInt, Field(ge=1, lt=2**24)]] | None = None
    suffix: Text | None = None

    def __post_init__(self) -> None:
        """Check that the reader has the keys that it needs, and knows all keys that are set."""
        if is_address(self.images):
            raise ValueError(
                "images must be a folder, or a text file with its address, which DVC can watch, "
                "got an address"
            )
        data_set, options = self.data_set, self._options
        allowed = (*data_set.needs, *data_set.takes)
        for key in data_set.needs:
            if key not in options:
                raise ValueError(f"must have a key {key!r} for reader {self.reader}")
        for key in options:
            if key not in allowed:
                raise ValueError(
                    f"reader {self.reader} must be given {' or '.join(allowed) or 'nothing'} "
                    "besides images, annotations, max_objects and max_objects_per_image, got "
                    f"{key!r}"
                )

    @property
    def data_set(self) -> DataSet:
        """Layout of the split's data set, which the setting ``reader`` names."""
        return DATA_SETS[self.reader]

    @property
    def source(self) -> Source:
        """Paths and options of the split, in the form that its reader takes."""
        options = self._options
        if self.frames is not None:
            options["frames"] = slice(self.frames.start, self.frames.end, self.frames.stride)
        if self.list is not None:
            options["list"] = Path(self.list)
        return Source(Path(self.images), Path(self.annotations), **options)

    @property
    def _options(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in OPTIONS if getattr(self, key) is not None}


@strict
class ShapesParams:
    """Settings of the stage ``shapes``: seed, image size and numbers of drawn images."""

    seed: Seed
    image_size_px: Annotated[StrictInt, Field(ge=MIN_SIZE_PX, le=4096)]
    n_train_images: Annotated[StrictInt, Field(ge=1, le=10**6)]
    n_val_images: Annotated[StrictInt, Field(ge=1, le=10**6)]
    n_further_images: Annotated[StrictInt, Field(ge=0, le=10**6)]


@strict
class PrepareParams:
    """Settings of the stage ``prepare``: seed of the clicks, and smallest area of an object."""

    seed: Seed
    min_area_px: Count


WEIGHTS: Final = re.compile(rf"{FILE}|{RANDOM.pattern}|.*/.*|.+\.(pt|pth|ckpt|bin|safetensors)")
"""Setting of the weights of a model; a separator or an ending tells a path from a word."""

_WEIGHTS_RULE: Final = (
    "file, random-SEED, a path (with / or *.pt, *.safetensors), or a mapping of models to these"
)


def _check_weights(value: object) -> object:
    by_model = value if isinstance(value, Mapping) else {"": value}
    texts = [*by_model, *by_model.values()]
    is_text = all(isinstance(text, str) for text in texts)
    if not (is_text and all(map(WEIGHTS.fullmatch, by_model.values()))):
        raise PydanticCustomError("text", "Text should be {rule}", {"rule": _WEIGHTS_RULE})
    return value


@strict
class ExtractParams:
    """Settings of ``extract`` and ``extract_train``: models, precision, batches, shards, device.

    Both stages share them, since heads must learn from features like the features that they judge.
    ``encoder_batch`` counts images, ``decoder_batch`` prompt sets, ``shard_objects`` objects.
    """

    family: Annotated[str, one_of(tuple(FAMILIES))]
    weights: Annotated[str | Mapping[str, str], BeforeValidator(_check_weights)]
    """Weights of all models, or by model; those of other models are ``file``."""
    precision: Literal["fp32", "bf16"]
    encoder_batch: Annotated[StrictInt, Field(ge=1, le=256)]
    decoder_batch: Annotated[StrictInt, Field(ge=1, le=4096)] | Literal["auto"]
    shard_objects: Annotated[StrictInt, Field(ge=1, le=4096)]
    device: Literal["auto", "cpu", "cuda"]

    def weights_of(self, model: str) -> str:
        """Setting of the weights of a model: ``file``, ``random-SEED``, or the path of a file."""
        weights = self.weights
        return weights if isinstance(weights, str) else weights.get(model, FILE)

    def __hash__(self) -> int:
        """Hash of all settings: a mapping has none of its own."""
        return hash(repr(self))


@strict
class EmbeddingsParams:
    """Settings of the stage ``embed``: splits and models whose embeddings are stored; may be empty.

    The models run as the block ``extract`` says, and encode images one by one.
    """

    splits: Unique[StrictStr]
    models: Unique[StrictStr]


@strict
class TuneParams:
    """Settings of the stage ``tune``: its search, and hyperparameters that 0 trials choose.

    ``max_objects`` limits the objects that trials learn from and are judged on; None means all.
    """

    seed: Seed
    n_trials: Annotated[StrictInt, Field(ge=0, le=100_000)]
    max_objects: Limit
    epochs: Annotated[int, _in_range("epochs")]
    batch_size: Annotated[int, _in_range("batch_size")]
    learning_rate: Annotated[float, _in_range("learning_rate")]
    momentum: Annotated[float, _in_range("momentum")]


@strict
class TrainParams:
    """Settings of the stage ``train``: a seed for each training of the heads.

    Predictors, the page and all tables use the heads of the first seed. A verdict about heads must
    hold for each seed.
    """

    seeds: SomeUnique[Seed]


@strict
class EvaluateParams:
    """Settings of the stage ``evaluate``: points of curves, resamples of intervals, seed."""

    n_curve_points: Annotated[StrictInt, Field(ge=2, le=10_000)]
    n_resamples: Annotated[StrictInt, Field(ge=2, le=100_000)]
    seed: Seed


@strict
class GalleryParams:
    """Settings of the stage ``gallery``: number and size of its pictures."""

    n_objects: Annotated[StrictInt, Field(ge=1, le=100)]
    side_px: Annotated[StrictInt, Field(ge=32, le=1024)]


@strict
class SlurmParams:
    """Settings of the executor ``slurm``: options of each worker's job, and number of jobs."""

    partition: Text | None = None
    account: Text | None = None
    walltime: Annotated[
        str, text(WALLTIME.fullmatch, "text like 04:00:00 or 2-00:00:00, in quotes")
    ] = "04:00:00"
    gpus: Annotated[StrictInt, Field(ge=0, le=64)] = 1
    cores: Annotated[StrictInt, Field(ge=1, le=1024)] = 4
    memory: Annotated[
        str, text(re.compile(r"[1-9][0-9]*(MB|GB|TB)").fullmatch, "text like 16GB")
    ] = "16GB"
    min_jobs: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1
    max_jobs: Annotated[StrictInt, Field(ge=1, le=10_000)] = 1
    interface: Text | None = None
    directives: Unique[Text] = ()

    def __post_init__(self) -> None:
        """Check that ``min_jobs`` does not exceed ``max_jobs``."""
        if self.min_jobs > self.max_jobs:
            raise ValueError(
                f"min_jobs must not exceed max_jobs, {self.max_jobs}, got {self.min_jobs}"
            )


@strict
class ExecutorParams:
    """Settings of the executor, which runs the tasks of stages; no result depends on them.

    ``n_threads`` is for the kind ``inline``, ``n_workers`` for ``local``, ``address`` and ``slurm``
    for the kinds of these names, ``dashboard`` for all but ``inline``.
    """

    kind: Literal["inline", "local", "address", "slurm"] = "inline"
    n_threads: Annotated[StrictInt, Field(ge=1, le=1024)] = 2
    n_workers: Annotated[StrictInt, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    address: Annotated[str, text(SCHEDULER.fullmatch, "text like tcp://login1:8786")] | None = None
    dashboard: Annotated[bool, Field(strict=True)] = False
    slurm: SlurmParams = SlurmParams()

    def __post_init__(self) -> None:
        """Check that the kind ``address`` has an address."""
        if self.kind == "address" and self.address is None:
            raise ValueError("must have an address for the kind address, got none")


@strict
class RuntimeParams:
    """Settings of the stage ``runtime``: number of rounds in which each method is timed once."""

    n_repeats: Annotated[StrictInt, Field(ge=6, le=1000)]  # the median of fewer has no interval


@strict
class ReportParams:
    """Settings of the stage ``report``: title, split that chooses measures, the paper's data."""

    title: Text
    chosen_on: Text | None
    """Eval split whose images choose the measure that a sentence about another split names.

    A verdict needs the same sign there. None: each split chooses and measures by the same images.
    """
    paper: Mapping[str, PaperDataSet]
    """By split, the paper's name of the same data set, whose numbers stand beside the split's."""
