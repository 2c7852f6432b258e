"""Models as cells are filled with them."""

import pytest
import torch

from stages.extraction.models import kept_model
from stages.shell.parsing import ParamsError
from tests.fixtures.signatures import extract_params


def test_a_job_without_the_gpu_that_auto_stands_for_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match=r"every worker must see a GPU .* executor\.slurm\.gpus"):
        kept_model(extract_params(device="auto"), "tiny", "cuda")
    with pytest.raises(ParamsError, match=r"extract\.device must be auto or cpu"):
        kept_model(extract_params(device="cuda"), "tiny", "cuda")
