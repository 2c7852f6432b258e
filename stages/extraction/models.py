"""Models as the block ``extract`` of the params names them."""

from pipeline.sam.model import (
    ArchitectureError,
    DeviceError,
    Precision,
    Sam,
    build,
    fit_weights,
    load_weights,
    select_device,
)
from stages.shell.asked import weights_seed
from stages.shell.blocks import ExtractParams
from stages.shell.rules import ParamsError
from storage.checkpoints.weights import verified_weights
from storage.errors import WeightsError


def load_model(params: ExtractParams, model: str) -> Sam:
    """Build a model, with its trained weights unless the settings ask for random ones.

    Raises
    ------
    ParamsError
        If the device is not there.
    WeightsError
        If the weights file is missing, damaged or of another architecture.
    """
    try:
        return load_sam(
            params.family,
            model,
            precision=params.precision,
            device=params.device,
            seed=weights_seed(params),
        )
    except DeviceError as error:
        raise ParamsError(f"extract.{error}") from error


def load_sam(
    family: str, model: str, *, precision: Precision, device: str, seed: int | None = None
) -> Sam:
    """Build a model, with its trained weights unless a seed of random ones is given.

    Raises
    ------
    DeviceError
        If the device is not there.
    WeightsError
        If the weights file is missing, damaged or of another architecture.
    """
    place = select_device(device)
    built = build(family, model, seed=seed or 0)
    if seed is None:
        path, _ = verified_weights(family, model)
        try:
            fit_weights(built, load_weights(str(path)), source=str(path))
        except ArchitectureError as error:
            raise WeightsError(str(error)) from error
    return Sam(built, device=place, precision=precision)
