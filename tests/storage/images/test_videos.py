"""Frames of videos: decoded in order and once, whoever asks first."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from storage.errors import ImageError
from storage.folders import sha256_file
from storage.images import videos
from storage.images.videos import SplitImages, Videos, frame_file, video_of
from tests.fixtures.layouts import write_jpeg, write_mp4

SIZE_PX = 64
N_FRAMES = 40
WANTED = range(0, N_FRAMES, 4)


def color(video: int, number: int) -> np.ndarray:
    """Flat, so that compression changes little: the video's red, the frame's green, blue apart."""
    rgb = np.zeros((SIZE_PX, 2 * SIZE_PX, 3), np.uint8)
    rgb[:] = (60 + 100 * video, 6 * number, 250)
    return rgb


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos."""
    root = tmp_path_factory.mktemp("intact")
    for video in (0, 1):
        write_mp4(root / f"{video}.mp4", [color(video, n) for n in range(N_FRAMES)])
    return root


@pytest.fixture
def folder(intact: Path, tmp_path: Path) -> Path:
    """A copy of them, to damage."""
    return shutil.copytree(intact, tmp_path, dirs_exist_ok=True)


def names() -> list[str]:
    return [frame_file(f"{video}.mp4", n) for video in (0, 1) for n in WANTED]


SIZE = {"height_px": SIZE_PX, "width_px": 2 * SIZE_PX}


def read(source: Videos | SplitImages, file: str) -> np.ndarray:
    if isinstance(source, Videos):
        return source.read(file, **SIZE)
    return source.read(file, **SIZE, sha256=source.inspect(file, **SIZE)[0])


def check(rgb: np.ndarray, file: str) -> None:
    wanted = color(int(file[0]), int(file.partition("#")[2]))
    assert np.abs(rgb.astype(int) - wanted).max() < 6


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """How many videos are opened, and frames decoded, meanwhile."""
    counts = {"opened": 0, "decoded": 0}
    capture = cv2.VideoCapture

    class Counting:
        def __init__(self, *arguments: object) -> None:
            counts["opened"] += 1
            self._capture = capture(*arguments)

        def grab(self) -> bool:
            counts["decoded"] += 1
            return bool(self._capture.grab())

        def __getattr__(self, name: str) -> object:
            return getattr(self._capture, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv2, "VideoCapture", Counting)
        yield counts


def test_a_name_says_video_and_frame() -> None:
    assert frame_file("sav_000/a.mp4", 12) == "sav_000/a.mp4#00012"
    assert video_of("sav_000/a.mp4#00012") == "sav_000/a.mp4"
    assert video_of("sav_000/a.mp4") is None
    assert video_of("a/00000.jpg") is None
    assert video_of("a#00000.jpg") is None


def test_a_pass_in_order_decodes_each_video_once(folder: Path) -> None:
    source = Videos(folder, names())
    with counted() as counts:
        for file in names():
            for _ in range(2):  # as for an image whose objects lie in two shards
                check(read(source, file), file)
    assert counts == {"opened": 2, "decoded": 2 * (WANTED[-1] + 1)}


def test_threads_get_their_own_frames(folder: Path) -> None:
    source, order = Videos(folder, names()), names()
    with ThreadPoolExecutor(2) as pool, counted() as counts:
        # Some at a time, as the loop of an extraction asks: a thread that sleeps while the other
        # goes on through a whole video would find its frame far back.
        for place in range(0, len(order), 4):
            some = order[place : place + 4]
            for file, rgb in zip(some, pool.map(lambda f: read(source, f), some), strict=True):
                check(rgb, file)
    assert counts["opened"] == 2


def test_memory_holds_a_few_frames_and_videos(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "N_OPEN", 1)
    monkeypatch.setattr(videos, "N_KEPT", 3)
    source = Videos(folder, names())
    for file in names():
        read(source, file)
    assert len(source._kept) == 3
    assert len(source._open) == 1


@pytest.mark.parametrize("number", [N_FRAMES, N_FRAMES + 7])
def test_a_video_that_ends_early_is_named(folder: Path, number: int) -> None:
    source = Videos(folder, names())
    for _ in range(2):
        with pytest.raises(
            ImageError,
            match=r"0.mp4 must have a readable frame 40 \(counted from 0\), got its end",
        ):
            read(source, frame_file("0.mp4", number))
    check(read(source, names()[0]), names()[0])


def zero_packet(path: Path, number: int) -> None:
    """Overwrite a frame's packet: ``stsz`` has the sizes of all, ``stco`` where the first lies."""
    data = bytearray(path.read_bytes())

    def entry(table: bytes, place: int) -> int:
        start = data.find(table) + place
        return int.from_bytes(data[start : start + 4], "big")

    sizes = [entry(b"stsz", 16 + 4 * k) for k in range(N_FRAMES)]
    start = entry(b"stco", 12) + sum(sizes[:number])
    data[start : start + sizes[number]] = bytes(sizes[number])
    path.write_bytes(data)


def test_no_frame_behind_a_damage_passes_for_another(folder: Path) -> None:
    zero_packet(folder / "0.mp4", 18)
    source = Videos(folder, names())
    failed, told = [], set()
    for number in [*range(N_FRAMES), *reversed(range(N_FRAMES))]:
        file = frame_file("0.mp4", number)
        try:
            check(read(source, file), file)
        except ImageError as error:
            failed.append(number)
            told.add(str(error))
    behind = list(range(18, N_FRAMES))
    assert failed == [*behind, *reversed(behind)]
    (message,) = told
    assert "0.mp4 must have a readable frame 18 " in message
    check(read(source, frame_file("1.mp4", 30)), frame_file("1.mp4", 30))


def test_a_video_that_is_cut_off_or_gone_is_named(folder: Path) -> None:
    path = folder / "0.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("0.mp4", "gone.mp4"):
        message = f"{name} must be a readable video, got none that opens"
        with pytest.raises(ImageError, match=message):
            read(Videos(folder, []), frame_file(name, 0))


def test_a_split_may_have_both_files_and_frames(folder: Path) -> None:
    write_jpeg(folder / "still.jpg", color(0, 4))
    source = SplitImages(folder, [*names(), "still.jpg"])

    assert np.abs(read(source, "still.jpg").astype(int) - color(0, 4)).max() < 6
    check(read(source, names()[1]), names()[1])
    assert source.inspect("still.jpg", **SIZE) == (sha256_file(folder / "still.jpg"), 1)
    with pytest.raises(ImageError, match=r"still.jpg must be the file that was listed"):
        source.read("still.jpg", **SIZE, sha256=sha256_file(folder / "0.mp4"))


@pytest.mark.parametrize("name", ["gone.jpg", "gone.mp4"])
def test_a_split_names_the_file_of_an_image_that_is_gone(folder: Path, name: str) -> None:
    file = frame_file(name, 0) if name.endswith(".mp4") else name
    source, message = SplitImages(folder, [file]), rf"{folder / name} must be a file, got none$"
    with pytest.raises(ImageError, match=message):
        source.inspect(file, **SIZE)
    with pytest.raises(ImageError, match=message):
        source.read(file, **SIZE, sha256=sha256_file(folder / "0.mp4"))


def test_the_digest_of_a_frame_is_its_videos_and_computed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, seen = SplitImages(folder, names()), list[Path]()

    def spy(path: Path) -> str:
        seen.append(path)
        return sha256_file(path)

    monkeypatch.setattr("storage.images.videos.sha256_file", spy)
    digests = [source.inspect(file, **SIZE)[0] for file in names()]

    assert digests == [sha256_file(folder / f"{file[0]}.mp4") for file in names()]
    assert seen == [folder / "0.mp4", folder / "1.mp4"]


def test_a_video_that_is_restored_after_it_was_refused_is_read(folder: Path) -> None:
    source, file, path = SplitImages(folder, names()), names()[0], folder / "0.mp4"
    intact, sha256 = path.read_bytes(), sha256_file(path)
    path.write_bytes(intact[: len(intact) // 2])
    with pytest.raises(ImageError, match=r"0.mp4 must be the file that was listed"):
        source.read(file, **SIZE, sha256=sha256)
    path.write_bytes(intact)
    check(source.read(file, **SIZE, sha256=sha256), file)


def test_another_size_names_both(folder: Path) -> None:
    with pytest.raises(
        ImageError, match=r"0.mp4 must be 9 px high and 128 px wide .* got 64 x 128"
    ):
        Videos(folder, []).read(names()[0], height_px=9, width_px=128)
