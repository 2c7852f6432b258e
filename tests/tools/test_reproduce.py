"""``make reproduce`` on a server of this machine: a few drawn images and random weights."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from zipfile import ZipFile

import pytest
import torch
import yaml

from pipeline.scenes.scene import draw_scene
from pipeline.vocabulary import objectives_of
from stages.settings.params import read_params
from storage.coco_writer import write_coco
from storage.errors import DataError
from storage.split.object_table import read_objects_of
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.file_server import RangeHandler, file_server
from tests.fixtures.made_up_coco import annotation, image_record
from tools import reproduce
from tools.reproduce import INSTANCES, SPLITS, Archive, beside_paper, draw_splits, main

N_IMAGES = 3
"""Images of each split."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of archives like COCO's; ``tmp_path`` is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    scenes = [draw_scene(seed, 96) for seed in range(2 * N_IMAGES + 1)]
    names = sorted({name for scene in scenes for name in scene.categories})
    write_coco(Path("coco/val2017"), Path("coco") / INSTANCES, scenes, names)
    archives = []
    for archive, folder in zip(reproduce.ARCHIVES, ("annotations", "val2017"), strict=True):
        path = Path("served") / archive.path
        path.parent.mkdir(parents=True)
        with ZipFile(path, "w") as packed:
            for file in sorted(Path("coco", folder).iterdir()):
                packed.write(file, f"{folder}/{file.name}")
        content = path.read_bytes()
        archives.append(Archive(archive.path, len(content), hashlib.sha256(content).hexdigest()))
    monkeypatch.setattr(reproduce, "ARCHIVES", tuple(archives))
    with file_server(tmp_path / "served", RangeHandler) as url:
        yield url


def write_few_settings(path: Path) -> None:
    """Write ``params/coco.yaml`` with a mini model of random weights in one view."""
    params: dict[str, Any] = yaml.safe_load((ROOT / "params" / "coco.yaml").read_text("utf-8"))
    params |= {"models": ["tiny"], "objectives": list(objectives_of(["tiny"]))}
    params["views"] = {"identity": {}}
    params["extract"] |= {"family": "mini", "weights": "random-0", "precision": "fp32"}
    path.write_text(yaml.safe_dump(params), "utf-8")


def write_tables(folder: Path) -> None:
    """Write two tables as the stage ``report`` does, one of them with numbers of the paper."""
    folder.mkdir(parents=True)
    lines = ["measure,trained_on,coco_val,coco_val_paper", "sam_score,,62.3,61.19"]
    lines += ["h_theta,,50.1,", "delta_theta,coco_heads,70.5,72.40"]
    (folder / "table1_model.csv").write_text("\n".join(lines), "utf-8")
    (folder / "margin.csv").write_text("measure,coco_val\nsam_score,1.0", "utf-8")


ROWS: Final = [
    ("best/table1_model.csv", "sam_score, coco_val", "61.19", "62.3", ""),
    ("best/table1_model.csv", "delta_theta, coco_heads, coco_val", "72.40", "70.5", "71.23"),
]
"""Rows of the comparison of ``write_tables``, with ``PUBLISHED``."""

PUBLISHED: Final = {("model", "delta_theta"): 71.234, ("task", "delta_a"): 90.0}
"""Numbers of the published heads."""


@pytest.mark.slow
def test_a_run_ends_with_both_numbers_and_a_file_to_send_in(
    address: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce, "STAGES", ("prepare",))  # all stages take a minute
    monkeypatch.setattr(reproduce, "_of_published_heads", lambda _: PUBLISHED)
    write_few_settings(Path("few.yaml"))
    write_tables(Path("reproduce/results/tables/best"))
    few = ("--params", "few.yaml", "--images", str(N_IMAGES))
    main(["--from", address, "--device", "cpu", *few])
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in lines[-4:-2]] == [["61.19", "62.3"], ["70.5", "71.23"]]
    assert lines[-2:] == [
        "2 numbers in all: reproduce/paper_and_ours.csv",
        "to send in: reproduce/reproduced.zip",
    ]
    with chdir("reproduce"):
        assert len(read_objects_of(SPLITS[0]).object_id)
    with ZipFile("reproduce/reproduced.zip") as packed:
        names = packed.namelist()
        assert b"random weights" in packed.read("doctor.txt")
        assert b"coco_heads" in packed.read("plan.txt")
        assert b"| tiny |" in packed.read("bench.txt")
        assert packed.read("version.txt").startswith(b"usam ")
    assert names == [
        *("params.yaml", "version.txt", "doctor.txt", "plan.txt", "bench.txt"),
        "paper_and_ours.csv",
        *("results/tables/best/margin.csv", "results/tables/best/table1_model.csv"),
    ]


def test_numbers_of_the_paper_ours_and_those_of_the_published_heads_stand_side_by_side(
    tmp_path: Path,
) -> None:
    write_tables(tmp_path / "best")
    assert [*beside_paper(tmp_path, PUBLISHED)] == ROWS


def test_archives_of_another_content_are_refused_in_words(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations, images = reproduce.ARCHIVES
    monkeypatch.setattr(reproduce, "ARCHIVES", (images, annotations))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    with pytest.raises(SystemExit):
        main(["--from", address, "--device", "cpu"])
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: data/COCO must have COCO's archives of val2017, got There is no")


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The error of a run that ends before it downloads: no server is at the address."""
    with pytest.raises(SystemExit):
        main(["--from", "http://127.0.0.1:9", *options])
    assert not any(Path("reproduce").rglob("*.zip*"))
    return capsys.readouterr().err


@pytest.mark.parametrize("is_there", [True, False])
def test_without_a_gpu_that_torch_sees_nothing_begins_unless_the_processor_was_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_there: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    exists = Path.exists
    gpu = Path("/dev/nvidia0")
    monkeypatch.setattr(Path, "exists", lambda path: is_there if path == gpu else exists(path))
    error = refusal(capsys)
    assert error.startswith("error: make reproduce must have a GPU that torch sees, got none; t")
    assert ("install a torch that is built for its driver" in error) == is_there
    assert error.endswith(", or the CPU for weeks: `make reproduce DEVICE=cpu`\n")
    assert "error: " in refusal(capsys, "--device", "cpu"), "the download fails"
    with chdir("reproduce"):
        assert read_params().extract.device == "cpu"


def test_a_disk_that_lacks_room_is_refused_with_what_will_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = [int(29e9)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    params = read_params(ROOT / "params" / "coco.yaml")
    monkeypatch.chdir(tmp_path)
    reproduce.check_disk(params, 500)
    assert capsys.readouterr().out == (
        "on the disk: downloads 2.79 GB, features 9.16 GB, masks 5.95 to 52.3 GB; in all 17.9 to "
        "64.3 GB of 29 GB\n"
    )
    free[0] = int(5e9)
    with pytest.raises(DataError, match=r"^the disk must have room for .* GB, got 5 GB: take"):
        reproduce.check_disk(params, 500)
    with Path("shard").open("wb") as shard:
        shard.truncate(int(10e9))  # without blocks
    Path("output").hardlink_to("shard")
    with pytest.raises(DataError, match=r"got 15 GB: take"):
        reproduce.check_disk(params, 500)


def instances(n_images: int) -> dict[str, Any]:
    """Images with an object each, then one with a crowd and one without objects."""
    objects = [annotation(10 * k, k) for k in range(n_images)]
    crowd = annotation(10 * n_images, n_images, iscrowd=1)
    images = [image_record(k) for k in range(n_images + 2)]
    return {"info": "COCO", "images": images, "annotations": [*objects, crowd]}


def test_splits_are_drawn_by_the_seed_and_share_no_image() -> None:
    first, second = (draw_splits(instances(20), 8, seed) for seed in (0, 1))
    assert draw_splits(instances(20), 8, 0) == first
    for splits in (first, second):
        drawn = [[image["id"] for image in split["images"]] for split in splits]
        assert [len(ids) for ids in drawn] == [8, 8]
        assert len({*drawn[0], *drawn[1]} & {*range(20)}) == 16
        for ids, split in zip(drawn, splits, strict=True):
            assert ids == sorted(ids)
            assert [item["image_id"] for item in split["annotations"]] == ids
            assert split["info"] == "COCO"
    assert first != second


@pytest.mark.parametrize("n_images", [0, 11])
def test_splits_of_no_image_or_too_many_are_refused(n_images: int) -> None:
    with pytest.raises(DataError, match=rf"images per split must be 1 to 10, .* got {n_images}$"):
        draw_splits(instances(20), n_images, 0)


def test_heads_learn_from_the_split_that_is_not_evaluated() -> None:
    params = read_params(ROOT / "params" / "coco.yaml")
    assert (*params.eval_splits, *params.train_splits) == SPLITS == tuple(params.report.paper)
    assert params.extract.family == "sam2.1"
    assert params.splits["coco_val"].images == str(reproduce.COCO / reproduce.IMAGES)
