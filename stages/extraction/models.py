"""Builds the models that the block ``extract`` of ``params.yaml`` names, with their weights."""

import pickle
import platform
import re
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.sam.building import ArchitectureError, build, fit_weights
from pipeline.sam.model import DeviceError, Precision, Sam, select_device
from stages.settings.parsing import ParamsError
from storage.checkpoints.weights import (
    FILE,
    checkpoint,
    record_digest,
    seed_of,
    verified_weights,
)
from storage.errors import WeightsError

if TYPE_CHECKING:
    from stages.settings.blocks import ExtractParams

CPU_INFO: Final = Path("/proc/cpuinfo")


def load_model(params: "ExtractParams", model: str, device: str | None = None) -> Sam:
    """Build a model with the weights that the settings name.

    ``device`` is ``auto``, ``cpu`` or ``cuda``; by default, that of the settings.
    """
    return load_sam(
        params.family,
        model,
        precision=params.precision,
        device=settled_device(device or params.device).type,
        weights=params.weights_of(model),
    )


@lru_cache(maxsize=1)
def kept_model(params: "ExtractParams", model: str, device: str) -> Sam:
    """Load a model to fill cells on a device, or return the model of the last equal call.

    The sha256 of a file of the user is kept in a file beside it: later runs notice a change. A GPU
    that this machine lacks is a ``ParamsError``, also if ``auto`` meant it where jobs were
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
    sam = load_model(params, model, device)
    if seed_of(weights := params.weights_of(model)) is None:
        record_digest(checkpoint(params.family, model, weights))
    return sam


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
    family: str,
    model: str,
    *,
    precision: Precision,
    device: str,
    weights: str = FILE,
) -> Sam:
    """Build a model with weights of its family, ``random-SEED``, or those of a file of the user.

    Raises
    ------
    DeviceError
        If this machine lacks the device, or the device is not ``auto``, ``cpu`` or ``cuda``.
    WeightsError
        If the weights file is missing, damaged or of another architecture, or holds no weights.
    """
    place, seed = select_device(device), seed_of(weights)
    network = build(family, model, seed=seed or 0)
    if seed is None:
        path, _ = verified_weights(family, model, weights)
        try:
            fit_weights(network, read_weights(path), source=str(path))
        except ArchitectureError as error:
            raise WeightsError(str(error)) from error
    return Sam(network, device=place, precision=precision)


FAULTS: Final = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, AttributeError),
    *(ValueError, TypeError, KeyError, SafetensorError),
)
"""Types of the errors that PyTorch and safetensors raise for a file that holds no tensors."""


def read_weights(path: Path, of: str = "a model") -> dict[str, Tensor]:
    """Read the weights in a ``.safetensors`` file, or in a ``.pt`` file; no pickle is run.

    In a ``.pt`` file, the weights are the entry ``model``, as in Meta's files, ``model_state``, as
    in those of micro-sam, or ``state_dict``, or the file's only content. Any other file is a
    WeightsError; ``of`` says in its message whose weights were expected.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of pickles, which torch then refuses
            saved = torch.load(path, map_location="cpu", weights_only=True)
        entries = (saved[name] for name in ("model", "model_state", "state_dict") if name in saved)
        weights = next(entries, saved)
        named = {str(name): tensor for name, tensor in weights.items()}
        others = [name for name, tensor in named.items() if not isinstance(tensor, Tensor)]
    except FAULTS as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise WeightsError(f"{path} must hold the tensors of {of}, got: {reason}") from error
    if others:
        raise WeightsError(f"{path} must hold the tensors of {of}, got {others[0]!r}, no tensor")
    return named


def device_name(device: torch.device) -> str:
    """Product name of the GPU or processor of a device; the architecture if it is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else ""
    model_name = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return model_name[1] if model_name else platform.processor() or platform.machine()
