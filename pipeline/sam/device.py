"""The device that a model runs on, and how it computes there."""

import torch


class DeviceError(ValueError):
    """The requested device is not available."""


def select_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device.

    Raises
    ------
    DeviceError
        If the name is none of these, or ``cuda`` where there is no GPU.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name not in {"cpu", "cuda"}:
        raise DeviceError(f"device must be one of auto, cpu, cuda, got {name!r}")
    if name == "cuda" and not has_cuda:
        raise DeviceError("device must be auto or cpu where torch sees no GPU, got 'cuda'")
    return torch.device(name)


def compute_exactly() -> None:
    """Make CUDA compute in the stated precision, and the same on every run.

    By default, single-precision convolutions run in TF32, with a mantissa of 10 bits, and cuDNN
    may choose an algorithm that sums in a different order each time.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
