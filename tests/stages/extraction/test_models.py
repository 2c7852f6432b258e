"""Models as cells are filled with them, and how long they take."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages.extraction import timing
from stages.extraction.models import kept_model, read_weights
from stages.extraction.timing import runtime_rows, seconds_in_turns
from stages.settings.parsing import ParamsError
from tests.fixtures.signatures import extract_params


def test_a_job_without_the_gpu_that_auto_stands_for_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match=r"every worker must have a GPU .* executor\.slurm\.gpus"):
        kept_model(extract_params(device="auto"), "tiny", "cuda")
    with pytest.raises(ParamsError, match=r"^device must be auto or cpu where torch sees no GPU"):
        kept_model(extract_params(device="cuda"), "tiny", "cuda")


def test_weights_of_either_file_come_back_and_meta_s_without_their_pickle(tmp_path: Path) -> None:
    weights = {"no_mem_embed": torch.ones(2)}
    save_file(weights, tmp_path / "tiny.safetensors")
    torch.save({"model": weights}, tmp_path / "tiny.pt")
    for file in ("tiny.safetensors", "tiny.pt"):
        assert torch.equal(read_weights(tmp_path / file)["no_mem_embed"], torch.ones(2))


def test_all_runs_take_turns_in_another_order_each_round_of_which_the_first_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[str] = []
    now = [0]
    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])

    def run(k: int) -> None:
        now[0] += 10 * (len(taken) // 3) + k  # seconds
        taken.append("abc"[k])

    runs = {name: partial(run, k) for k, name in enumerate("abc")}
    rounds: list[int] = []
    seconds = seconds_in_turns(runs, 30, rounds.append)
    assert {name: of_run.tolist() for name, of_run in seconds.items()} == {
        name: [10 * i + k for i in range(1, 31)] for k, name in enumerate("abc")
    }
    assert rounds == [1] * 31
    orders = ["".join(taken[i : i + 3]) for i in range(0, 93, 3)]
    assert {"".join(sorted(order)) for order in orders} == {"abc"}
    assert len(set(orders)) == 6


def test_what_slows_a_whole_round_is_no_part_of_a_ratio() -> None:
    load = np.array([1.0, 5, 1, 2, 9, 1, 3, 1])
    seconds = {("tiny", "sam"): 0.1 * load, ("tiny", "views5"): 0.5 * load}
    alone, views = runtime_rows(seconds)
    assert (alone["model"], alone["method"], views["method"]) == ("tiny", "sam", "views5")
    assert alone["seconds"] == pytest.approx(0.15)
    assert (alone["seconds_low"], alone["seconds_high"]) == pytest.approx((0.1, 0.9))
    assert views["ratio"] == pytest.approx(5)
    assert (views["ratio_low"], views["ratio_high"]) == pytest.approx((5, 5))
