"""The blocks of ``params.yaml``: each setting with its rule."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar, cast, dataclass_transform

from pydantic.dataclasses import dataclass

from pipeline.heads.hyperparameters import RANGES
from pipeline.scenes.scene import MIN_SIZE_PX
from pipeline.vocabulary import FAMILIES
from stages.shell.rules import SEED_MAX, flag, matching, number, one_of, text, texts, whole
from storage.datasets.catalogue import DATA_SETS

T = TypeVar("T")

Seed = Annotated[int, whole(0, SEED_MAX)]
Count = Annotated[int, whole(1, 10**9)]
Limit = Annotated[int | None, whole(1, 10**9, None)]
Text = Annotated[str, text()]

WALLTIME: Final = r"([0-9]+-)?[0-9]{1,3}:[0-9]{2}:[0-9]{2}"
"""Times as SLURM takes them."""

SCHEDULER: Final = r"((tcp|tls|ws|wss|ucx)://)?(\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+):[0-9]{1,5}"
"""Addresses as Dask takes them."""

PaperDataSet = Literal["DAVIS", "ADE20k", "MOSE", "COCO", "SA-V"]
"""Data sets of the paper."""


@dataclass_transform(frozen_default=True)
def strict(block_type: type[T]) -> type[T]:
    """Make a class a params block: frozen, with exactly its fields as keys."""
    return cast("type[T]", dataclass(frozen=True, config={"extra": "forbid"})(block_type))


@strict
class FrameRange:
    """Which of a video's annotated frames are taken, counted from 0, ``end`` excluded."""

    start: Annotated[int, whole(0, 10**9)] = 0
    end: Limit = None
    stride: Count = 1


@strict
class Split:
    """Where the images and objects of a split are; each reader knows some of the last four."""

    reader: Annotated[str, one_of(tuple(DATA_SETS))]
    images: Text
    annotations: Text
    max_objects: Limit = None
    list: Text | None = None
    frames: FrameRange | None = None
    subsets: Annotated[tuple[str, ...], texts()] | None = None
    masklets: Literal["manual", "auto", "both"] | None = None


@strict
class ShapesParams:
    """The drawn data set."""

    seed: Seed
    image_size_px: Annotated[int, whole(MIN_SIZE_PX, 4096)]
    n_train_images: Annotated[int, whole(1, 10**6)]
    n_val_images: Annotated[int, whole(1, 10**6)]


@strict
class PrepareParams:
    """Clicks, and which objects are taken."""

    seed: Seed
    min_area_px: Count


@strict
class ExtractParams:
    """The models; ``extract_train`` shares the block, since heads must fit what they judge."""

    version: Count
    family: Annotated[str, one_of(FAMILIES)]
    weights: Annotated[str, matching(r"file|random-(0|[1-9][0-9]{0,9})", "file or random-SEED")]
    precision: Literal["fp32", "bf16"]
    decoder_batch: Annotated[int | Literal["auto"], whole(1, 4096, "auto")]
    shard_objects: Annotated[int, whole(1, 4096)]
    device: Literal["auto", "cpu", "cuda"]
    compile: Annotated[bool, flag()] = False


@strict
class EntropyParams:
    """Settings of the stage."""

    n_workers: Annotated[int, whole(1, 1024)]


@strict
class TuneParams:
    """Settings of the stage; with 0 trials, the four hyperparameters are used."""

    seed: Seed
    n_trials: Annotated[int, whole(0, 100_000)]
    max_objects: Limit
    epochs: Annotated[int, whole(*map(int, RANGES["epochs"]))]
    batch_size: Annotated[int, whole(*map(int, RANGES["batch_size"]))]
    learning_rate: Annotated[float, number(*RANGES["learning_rate"])]
    momentum: Annotated[float, number(*RANGES["momentum"])]
    facade: Literal["full", "multifidelity"] = "full"


@strict
class TrainParams:
    """Settings of the stage."""

    seed: Seed


@strict
class EvaluateParams:
    """Settings of the stage."""

    n_curve_points: Annotated[int, whole(2, 10_000)]
    n_resamples: Annotated[int, whole(1, 100_000)]
    seed: Seed


@strict
class GalleryParams:
    """Settings of the stage."""

    n_objects: Annotated[int, whole(1, 100)]
    side_px: Annotated[int, whole(32, 1024)]


@strict
class SlurmParams:
    """What SLURM is told of the job of each worker."""

    partition: Text | None = None
    account: Text | None = None
    walltime: Annotated[str, matching(WALLTIME, "text like 04:00:00 or 2-00:00:00, in quotes")] = (
        "04:00:00"
    )
    gpus: Annotated[int, whole(0, 64)] = 1
    cores: Annotated[int, whole(1, 1024)] = 4
    memory: Annotated[str, matching(r"[1-9][0-9]*(MB|GB|TB)", "text like 16GB")] = "16GB"
    min_jobs: Annotated[int, whole(1, 10_000)] = 1
    max_jobs: Annotated[int, whole(1, 10_000)] = 1
    interface: Text | None = None
    directives: Annotated[tuple[str, ...], texts(may_be_empty=True)] = ()


@strict
class ExecutorParams:
    """Who runs the tasks of the stages; part of no signature, and of no stage's inputs."""

    kind: Literal["inline", "local", "address", "slurm"] = "inline"
    n_workers: Annotated[int | Literal["auto"], whole(1, 1024, "auto")] = "auto"
    address: Annotated[str, matching(SCHEDULER, "text like tcp://login1:8786")] | None = None
    slurm: SlurmParams = SlurmParams()


@strict
class RuntimeParams:
    """Settings of the stage."""

    n_repeats: Annotated[int, whole(1, 1000)]


@strict
class ReportParams:
    """Settings of the stage."""

    title: Text
    paper: Mapping[str, PaperDataSet]
    """Split -> which of the paper's data sets it is."""
