"""The loop keeps order and memory, loses no image that could be read, and hides no error."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.extraction.predictions import Rows
from pipeline.extraction.shards import Piece, Shard, plan_shards
from stages.extraction.steps import Threads, run_shards
from stages.program.stopping import Stopped
from storage.errors import ImageError
from tests.fixtures.driven import PATIENCE_S
from tests.fixtures.slurm import wait_until


@dataclass
class FakeSteps:
    """Rows are the numbers of the objects; what is asked is written down."""

    broken: frozenset[int] = frozenset()
    read_images: list[int] = field(default_factory=list)
    computed: list[int] = field(default_factory=list)
    written: dict[int, Rows] = field(default_factory=dict)
    on_write: Callable[[Shard], None] = lambda _: None
    on_compute: Callable[[int], None] = lambda _: None
    on_read: Callable[[], None] = lambda: None
    most_ahead: int = 0
    encoder_batch: int = 1
    threads: Threads = field(default_factory=lambda: Threads(2, 1))
    batches: list[int] = field(default_factory=list)

    def read(self, piece: Piece) -> int | ImageError:
        self.on_read()
        self.read_images.append(piece.image)
        self.most_ahead = max(self.most_ahead, len(self.read_images) - len(self.computed))
        return ImageError("torn") if piece.image in self.broken else piece.image

    def compute(self, images: Sequence[tuple[Piece, int]]) -> list[Rows]:
        self.batches.append(len(images))
        return [self._compute(*image) for image in images]

    def _compute(self, piece: Piece, image: int) -> Rows:
        self.on_compute(len(self.computed))
        self.computed.append(image)
        return {"row": np.arange(piece.start, piece.stop)}

    def write(self, shard: Shard, rows: Sequence[Rows]) -> None:
        self.on_write(shard)
        self.written[shard.index] = {"row": np.concatenate([of_image["row"] for of_image in rows])}


def plan() -> tuple[Shard, ...]:
    """Six images of three objects in shards of four."""
    return plan_shards(np.repeat(np.arange(6), 3), 4)


def test_every_shard_is_written_whole_and_in_order() -> None:
    steps = FakeSteps()
    told: list[int] = []
    assert run_shards(plan(), steps, steps.write, told.append) == {}
    rows = np.concatenate([steps.written[i]["row"] for i in range(5)])
    np.testing.assert_array_equal(rows, np.arange(18))
    assert sum(told) == 18


def test_a_batch_of_images_ends_with_its_shard() -> None:
    steps = FakeSteps(encoder_batch=3, broken=frozenset({15}))
    failures = run_shards(plan_shards(np.arange(18), 4), steps, steps.write, lambda _: None)
    assert failures == {15: "torn"}
    assert set(steps.written) == {0, 1, 2, 4}
    # The shard of the broken image has one batch before it.
    assert steps.batches == [3, 1, 3, 1, 3, 1, 3, 2]


def test_an_image_that_fails_costs_its_shards_and_no_other_image() -> None:
    steps = FakeSteps(broken=frozenset({2}))
    failures = run_shards(plan(), steps, steps.write, lambda _: None)
    # Objects 6 to 8 are of image 2: shards 1 (4..7) and 2 (8..11).
    assert failures == {2: "torn"}
    assert set(steps.written) == {0, 3, 4}
    # Nothing is computed for a shard once it has failed.
    assert steps.computed == [0, 1, 1, 4, 5, 5]


def test_shards_are_taken_shortly_before_they_are_read() -> None:
    steps = FakeSteps()
    taken: list[int] = []

    def shards() -> Iterator[Shard]:
        for shard in plan_shards(np.arange(200), 4):
            taken.append(shard.index)
            assert shard.index <= len(steps.computed) // 4 + 2
            yield shard

    assert run_shards(shards(), steps, steps.write, lambda _: None) == {}
    assert taken == list(steps.written)


def test_reading_ahead_is_bounded() -> None:
    def wait_for_two(n_computed: int) -> None:
        if n_computed == 0:
            wait_until(lambda: len(steps.read_images) > 1, PATIENCE_S)

    steps = FakeSteps(on_compute=wait_for_two)
    run_shards(plan_shards(np.arange(200), 16), steps, steps.write, lambda _: None)
    assert 1 < steps.most_ahead <= steps.threads.n_readers + 2


def test_writing_overlaps_with_the_next_shard_and_no_more() -> None:
    is_next_computed = threading.Event()

    def write(shard: Shard) -> None:
        if shard.index == 0:
            assert is_next_computed.wait(PATIENCE_S)
            time.sleep(0.05)  # in which nothing of shard 2 is computed

    def compute(n_computed: int) -> None:
        if n_computed == 3:  # of shard 1
            is_next_computed.set()
        assert n_computed < 4 or 0 in steps.written

    steps = FakeSteps(on_write=write, on_compute=compute)
    run_shards(plan(), steps, steps.write, lambda _: None)
    assert set(steps.written) == {0, 1, 2, 3, 4}


def test_as_many_shards_are_written_at_once_as_there_are_writers_and_no_more() -> None:
    both_write = threading.Barrier(2, timeout=PATIENCE_S)

    def write(shard: Shard) -> None:
        if shard.index < 2:
            both_write.wait()
            time.sleep(0.05)  # in which nothing of shard 3 is computed

    def compute(n_computed: int) -> None:
        # Shards 0 to 2 have the first six pieces.
        assert n_computed < 6 or 0 in steps.written

    steps = FakeSteps(on_write=write, on_compute=compute, threads=Threads(2, 2))
    assert run_shards(plan(), steps, steps.write, lambda _: None) == {}
    rows = np.concatenate([steps.written[i]["row"] for i in range(5)])
    np.testing.assert_array_equal(rows, np.arange(18))


def test_an_error_of_the_disk_ends_the_run() -> None:
    def full(shard: Shard) -> None:
        if shard.index == 1:
            raise OSError(28, "No space left on device")

    steps = FakeSteps(on_write=full)
    with pytest.raises(OSError, match="No space left"):
        run_shards(plan(), steps, steps.write, lambda _: None)
    assert set(steps.written) == {0}


def test_an_error_of_the_last_write_is_seen_too() -> None:
    def full(shard: Shard) -> None:
        if shard.index == 4:
            raise OSError(28, "No space left on device")

    steps = FakeSteps(on_write=full)
    with pytest.raises(OSError, match="No space left"):
        run_shards(plan(), steps, steps.write, lambda _: None)


def test_a_signal_begins_no_other_image_and_keeps_the_shards_that_are_done() -> None:
    steps = FakeSteps(on_compute=stop_at(3))
    with pytest.raises(Stopped):
        run_shards(plan(), steps, steps.write, lambda _: None)
    # Image 2 is the last one of shard 1; shard 0 is done.
    assert set(steps.written) == {0}
    assert len(steps.read_images) <= 4 + steps.threads.n_readers


def test_a_signal_waits_for_the_shard_that_is_being_written() -> None:
    steps = FakeSteps(on_write=lambda _: time.sleep(0.1), on_compute=stop_at(4))
    with pytest.raises(Stopped):
        run_shards(plan(), steps, steps.write, lambda _: None)
    assert set(steps.written) == {0, 1}


def stop_at(n_images: int) -> Callable[[int], None]:
    """A signal that comes when so many pieces have been computed."""

    def compute(n_computed: int) -> None:
        if n_computed == n_images:
            raise Stopped("stopped", 143)

    return compute
