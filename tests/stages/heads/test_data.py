"""What heads learn from is read a block at a time."""

import mmap
import weakref
from pathlib import Path

import numpy as np
import pytest
import xarray

from pipeline.head_sets import HeadSet
from pipeline.vocabulary import MODELS
from stages.heads.data import read_head_data
from stages.shell.signatures import train_cell_settings
from storage.split.cells import open_cells
from tests.fixtures.asked import extract_params
from tests.fixtures.train_split import SPLIT, write_split

N_OBJECTS = 2049
"""In three chunks."""


def test_a_block_is_let_go_before_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_split(n_objects=N_OBJECTS)
    cells = open_cells(SPLIT, train_cell_settings(extract_params(), MODELS))
    read: list[weakref.ref[xarray.Dataset]] = []
    load = xarray.Dataset.load

    def noted(block: xarray.Dataset) -> xarray.Dataset:
        assert all(ref() is None for ref in read)
        read.append(weakref.ref(block))
        return load(block)

    monkeypatch.setattr(xarray.Dataset, "load", noted)
    inputs = read_head_data(cells, HeadSet("best", "best")).rows.inputs
    assert len(inputs) == 4 * N_OBJECTS
    of: object = inputs
    while isinstance(of, np.ndarray):
        of = of.base
    # Of a file: the kernel may take them back.
    assert isinstance(of, memoryview)
    assert isinstance(of.obj, mmap.mmap)
    assert len(read) == 4 * 3
