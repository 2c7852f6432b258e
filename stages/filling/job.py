"""One cell to fill, described for the process that computes it; imports no model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipeline.extraction.plan import decoder_batch
from pipeline.sam.families import row_of
from stages.settings.blocks import ExtractParams, Split
from stages.settings.signatures import LIBRARIES, CellName, cell_settings
from storage.errors import StoreError, counted
from storage.pool.cell import Cell
from storage.pool.inputs import PreparedSplit
from storage.split.objects import read_objects_of
from storage.store.signature import versions
from storage.store.writing import full_signature

DEVICES: Final = ("cuda", "cpu")
"""Devices whose numbers differ."""


@dataclass(frozen=True)
class CellJob:
    """A cell on a device.

    Attributes
    ----------
    objects_digest
        Of the split as whoever asks sees it.
    """

    name: CellName
    place: Split
    params: ExtractParams
    device: str
    objects_digest: str

    def __str__(self) -> str:
        return str(self.name)

    def __hash__(self) -> int:
        return hash((str(self.name), self.objects_digest))

    @property
    def decoder_batch(self) -> int:
        """Prompt sets per decoder call."""
        return decoder_batch(
            self.params.decoder_batch,
            device=self.device,
            mask_size_px=row_of(self.params.family, self.name.model).mask_side_px,
        )

    @cached_property
    def signature(self) -> dict[str, object]:
        """All that the rows depend on."""
        entries = cell_settings(self.params, self.name) | {
            "objects_digest": self.objects_digest,
            "device": self.device,
            "decoder_batch": self.decoder_batch,
            **versions(*LIBRARIES),
        }
        return {**full_signature(entries, self.params.shard_objects)}

    def cell(self, split: PreparedSplit) -> Cell:
        """The cell in the pool."""
        known = row_of(self.params.family, self.name.model)
        sizes = {"channel": known.n_channels, "encoder_channel": known.n_encoder_channels}
        if self.name.with_masks:
            sizes |= {"y": known.mask_side_px, "x": known.mask_side_px}
        return Cell(self.signature, split, sizes)


def prepared(split: str, shard_objects: int) -> PreparedSplit:
    """Read a split.

    Raises
    ------
    StoreError
        If it is not prepared, or its store is damaged.
    """
    return PreparedSplit(read_objects_of(split), shard_objects)


def possible_jobs(
    name: CellName, place: Split, params: ExtractParams, split: PreparedSplit
) -> dict[str, CellJob]:
    """A cell on each of the devices that its settings allow."""
    devices = DEVICES if params.device == "auto" else (params.device,)
    return {each: CellJob(name, place, params, each, split.objects_digest) for each in devices}


def settled_job(
    jobs: dict[str, CellJob], split: PreparedSplit, device: Callable[[], str]
) -> CellJob:
    """The cell on the device that made all of its shards, else on the one that will compute.

    Parameters
    ----------
    jobs
        From ``possible_jobs``.
    device
        Asked only where something is lacking.

    Raises
    ------
    StoreError
        If GPUs have begun it, and none is here: it would be made anew on a processor, unasked.
    """
    lacking = {each: len(job.cell(split).lacking()) for each, job in jobs.items()}
    for each, job in jobs.items():
        if not lacking[each]:
            return job
    here, n_shards = device(), len(split.shards)
    n_done = n_shards - lacking.get("cuda", n_shards)
    if here == "cpu" and len(jobs) > 1 and n_done:
        raise StoreError(
            f"{next(iter(jobs.values()))} must be finished on a GPU, as it was begun ({n_done} of "
            f"{counted(n_shards, 'shard')} done), got none here; extract.device: cpu would begin "
            "it anew on this processor, and keep what the GPU has done"
        )
    return jobs["cuda" if n_done else here]
