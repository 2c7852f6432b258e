"""Builds the models that the block ``extract`` of ``params.yaml`` names, with their weights."""

import platform
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.sam.building import ArchitectureError, build, fit_weights
from pipeline.sam.model import DeviceError, Precision, Sam, select_device
from stages.settings.blocks import ExtractParams
from stages.settings.parsing import ParamsError
from stages.settings.signatures import weights_seed
from storage.checkpoints.weights import verified_weights
from storage.errors import WeightsError

CPU_INFO: Final = Path("/proc/cpuinfo")


def load_model(params: ExtractParams, model: str, device: str | None = None) -> Sam:
    """Build a model with trained weights or, if the settings say so, with random weights.

    ``device`` is ``auto``, ``cpu`` or ``cuda``; by default, that of the settings.
    """
    return load_sam(
        params.family,
        model,
        precision=params.precision,
        device=settled_device(device or params.device).type,
        seed=weights_seed(params),
    )


@lru_cache(maxsize=1)
def kept_model(params: ExtractParams, model: str, device: str) -> Sam:
    """Load a model to fill cells on a device, or return the model of the last equal call.

    A GPU that this machine lacks is a ``ParamsError``, also if ``auto`` meant it where jobs were
    made.

    Notes
    -----
    On a CPU, the process computes with one thread from now on. Sums that threads share have other
    last digits with every number of threads, and the bytes of a shard must not depend on who fills
    it. More processes use more cores.
    """
    if device == "cpu":
        torch.set_num_threads(1)
    if device == "cuda" != params.device and not torch.cuda.is_available():
        raise ParamsError(
            "every worker must have a GPU if executor.slurm.gpus asks for one or another worker "
            "has one, under extract.device: auto, got one without"
        )
    return load_model(params, model, device)


def settled_device(setting: str) -> torch.device:
    """Device for a value of the setting ``extract.device``: ``auto`` is the GPU if there is one.

    The GPU has no number: a model is loaded to the current GPU of torch, and stays there.

    Raises
    ------
    ParamsError
        If the value is not ``auto``, ``cpu`` or ``cuda``, or is ``cuda`` where torch sees no GPU.
    """
    try:
        return select_device(setting)
    except DeviceError as error:
        raise ParamsError(str(error)) from error


def load_sam(
    family: str, model: str, *, precision: Precision, device: str, seed: int | None = None
) -> Sam:
    """Build a model with trained weights or, if ``seed`` is given, with random weights.

    Raises
    ------
    DeviceError
        If this machine lacks the device, or the device is not ``auto``, ``cpu`` or ``cuda``.
    WeightsError
        If the weights file is missing, damaged or of another architecture.
    """
    place = select_device(device)
    network = build(family, model, seed=seed or 0)
    if seed is None:
        path, _ = verified_weights(family, model)
        try:
            fit_weights(network, read_weights(path), source=str(path))
        except ArchitectureError as error:
            raise WeightsError(str(error)) from error
    return Sam(network, device=place, precision=precision)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights in a ``.safetensors`` file, or in Meta's ``.pt`` file; no pickle is run.

    In a ``.pt`` file, the weights are the entry ``model`` or, for SAM 3.1, the file's only content.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    weights: dict[str, Tensor] = saved.get("model", saved)
    return weights


def device_name(device: torch.device) -> str:
    """Product name of the GPU or processor of a device; the architecture if it is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else ""
    model_name = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return model_name[1] if model_name else platform.processor() or platform.machine()
