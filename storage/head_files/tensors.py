"""Reads and writes safetensors files that contain their own digest, without PyTorch."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from storage.errors import N_HEX, WeightsError
from storage.folders import whole_file
from storage.paths import remedy, repair_advice

SIZE_BYTES: Final = 8
"""Bytes of the first number of a safetensors file, which is the size of its header. The header is
padded to a multiple of 8 bytes, too."""

DIGEST: Final = "sha256"
"""Metadata key of the file's sha256, which is computed with ``UNSIGNED`` in its place."""

UNSIGNED: Final = "0" * 64
"""Zeros in place of the digits of a sha256."""

_DIGEST_ENTRY: Final = re.compile(rb'"%s":"([0-9a-f]{64})"' % DIGEST.encode())


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write tensors and metadata, and their sha256 as the entry ``DIGEST`` of the metadata.

    Equal tensors and metadata give equal bytes. A file already at ``path`` is replaced.
    """
    contiguous = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    unsigned = _with_sorted_header(save(contiguous, {**metadata, DIGEST: UNSIGNED}))
    with whole_file(path) as partial:
        partial.write_bytes(_with_digest(unsigned, hashlib.sha256(unsigned).hexdigest()))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the tensors by name and the metadata of a file, and check its digest.

    The metadata include the digest, under ``DIGEST``. Raises a WeightsError if the file is missing,
    or a byte differs from the written file (a truncated download is the usual cause).
    """
    if not path.is_file():
        raise WeightsError(f"heads must be a file, got none at {path}{remedy(path)}")
    data = path.read_bytes()
    entry = _DIGEST_ENTRY.search(data)
    if entry is None:
        raise _damaged(path, f"no {DIGEST}")
    digest = hashlib.sha256(_with_digest(data, UNSIGNED)).hexdigest()
    if entry[1].decode() != digest:
        raise _damaged(path, f"{DIGEST} {entry[1].decode()[:N_HEX]} -> {digest[:N_HEX]}")
    try:
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata()
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, fault: str) -> WeightsError:
    advice = repair_advice(path) or "; fetch or export it again"
    return WeightsError(
        f"heads must be a safetensors file as the stage train wrote it, got {path} ({fault})"
        f"{advice}"
    )


def _with_digest(data: bytes, digest: str) -> bytes:
    """Replace the digest in the bytes of a file, which has one."""
    entry = _DIGEST_ENTRY.search(data)
    assert entry is not None
    start, stop = entry.span(1)
    return data[:start] + digest.encode() + data[stop:]


def _with_sorted_header(data: bytes) -> bytes:
    # safetensors writes metadata in the order of a hash map, which has a new seed for each file.
    size = int.from_bytes(data[:SIZE_BYTES], "little")
    header = json.loads(data[SIZE_BYTES : SIZE_BYTES + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % SIZE_BYTES)
    return len(text).to_bytes(SIZE_BYTES, "little") + text + data[SIZE_BYTES + size :]
