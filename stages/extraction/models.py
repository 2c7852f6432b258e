"""Models as the block ``extract`` of the params names them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.sam.model import (
    ArchitectureError,
    DeviceError,
    Sam,
    build,
    fit_weights,
    load_weights,
    select_device,
)
from stages.shell.params import ParamsError, strict
from storage.checkpoints.weights import verified_weights
from storage.errors import WeightsError

Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


@strict
class ExtractParams:
    """Block ``extract``; it serves ``extract_train`` too, for heads must fit what they judge."""

    version: Positive
    family: Literal["mini", "sam2", "sam2.1"]
    weights: Literal["file", "random"]
    weights_seed: Seed
    precision: Literal["fp32", "bf16"]
    noise_seed: Seed
    decoder_batch: Positive | Literal["auto"]
    shard_objects: Positive
    device: Literal["auto", "cpu", "cuda"]


def load_model(params: ExtractParams, model: str) -> tuple[Sam, str]:
    """The model, and the name of its weights for the signature.

    Raises
    ------
    ParamsError
        If the device is not there.
    WeightsError
        If the weights file is missing, damaged or of another architecture.
    """
    try:
        device = select_device(params.device)
    except DeviceError as error:
        raise ParamsError(f"extract.{error}") from error
    built = build(params.family, model, seed=params.weights_seed)
    weights = random_weights(params)
    if params.weights == "file":
        path, weights = verified_weights(params.family, model)
        try:
            fit_weights(built, load_weights(str(path)), source=str(path))
        except ArchitectureError as error:
            raise WeightsError(str(error)) from error
    return Sam(built, device=device, precision=params.precision), weights


def random_weights(params: ExtractParams) -> str:
    """Name of seeded weights for the signature."""
    return f"random, seed {params.weights_seed}"
