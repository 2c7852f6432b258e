"""The queue before the model: turns, and who leaves; what a family offers."""

import asyncio
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.predictor.command_options import ModelOptions
from stages.web.page_state import (
    JobQueue,
    Predictors,
    installed_models,
    label_of,
    offered_heads,
)
from storage.checkpoints.weights import checkpoint
from storage.head_files.head_file import shipped_heads
from storage.head_files.published_heads import published_file
from tests.fixtures.predictors import write_random_heads
from tests.fixtures.web_page import PATIENCE_S


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    queue = JobQueue("model")
    yield queue
    queue.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a slow job waits for."""
    event = threading.Event()
    yield event
    event.set()


async def begun(work: Awaitable[Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)  # up to its place in the queue
    assert isinstance(task, asyncio.Task)
    return task


def test_who_leaves_is_skipped(queue: JobQueue, gate: threading.Event) -> None:
    ran: list[str] = []

    async def run() -> None:
        first = await begun(queue.run(gate.wait))
        leaves = await begun(queue.run(lambda: ran.append("left")))
        stays = await begun(queue.run(lambda: ran.append("stayed")))
        leaves.cancel()
        await asyncio.sleep(0)
        assert len(queue) == 2
        gate.set()
        await asyncio.gather(first, stays)

    asyncio.run(run())
    assert ran == ["stayed"]


def test_closed_it_ends_the_job_that_runs_and_drops_those_that_wait(
    queue: JobQueue, gate: threading.Event
) -> None:
    is_running, ran = threading.Event(), []

    def slow() -> None:
        is_running.set()
        gate.wait()
        ran.append("slow")

    async def run() -> None:
        runs = await begun(queue.run(slow))
        waits = await begun(queue.run(lambda: ran.append("waited")))
        await asyncio.to_thread(is_running.wait, PATIENCE_S)
        threading.Timer(0.05, gate.set).start()
        queue.close()
        assert ran == ["slow"]
        with pytest.raises(asyncio.CancelledError):
            await waits
        await runs

    asyncio.run(run())
    assert ran == ["slow"]


def test_a_family_that_was_fetched_offers_its_heads_and_the_models_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = checkpoint("sam2.1", "tiny").path
    for path in (weights, published_file("sam2.1")):
        path.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    fetched = write_random_heads(
        published_file("sam2.1"),
        protocol="best",
        changes={"family": "sam2.1", "split": "published"},
    )
    other = write_random_heads(tmp_path / "other.safetensors", changes={"family": "sam2.1"})
    assert offered_heads(None, "sam2.1") == [fetched]
    choices = Predictors([ModelOptions(heads=path).choose() for path in (other, fetched)]).choices
    assert {name: installed_models(choice) for name, choice in choices.items()} == {
        "other": ("tiny",),
        "sam2.1": ("tiny",),
    }
    assert label_of(choices["sam2.1"]) == "sam2.1, published, paper, best masks"
    fetched.unlink()
    assert offered_heads(other, "sam2.1") == [other]
    assert offered_heads(other, "mini") == [other, shipped_heads()]
