"""Models as cells are filled with them."""

import ctypes
import resource

import pytest
import torch

from stages.extraction.models import kept_model
from stages.shell.parsing import ParamsError
from tests.fixtures.asked import extract_params

PAGE_BYTES = resource.getpagesize()


def page_faults(n_tensors: int, n_rounds: int) -> int:
    """How often Linux has to clear a page for tensors of 4 MB that are freed together."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_rounds):
        tensors = [torch.ones(2**20) for _ in range(n_tensors)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_of_one_decoder_call_serves_the_next() -> None:
    kept_model(extract_params(), "tiny", "cpu")
    page_faults(n_tensors=6, n_rounds=1)
    n_pages = 6 * 2**22 // PAGE_BYTES
    assert page_faults(n_tensors=6, n_rounds=10) < n_pages


def test_a_job_without_the_gpu_that_auto_stands_for_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match=r"every worker must see a GPU .* executor\.slurm\.gpus"):
        kept_model(extract_params(device="auto"), "tiny", "cuda")
    with pytest.raises(ParamsError, match=r"extract\.device must be auto or cpu"):
        kept_model(extract_params(device="cuda"), "tiny", "cuda")
