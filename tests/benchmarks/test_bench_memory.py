"""Memory of an extraction stays flat, however many images there are."""

import sys
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.bars import note_bar
from tests.fixtures.project_copy import copy_files, read_params, run, write_params

N_IMAGES = (12, 96)

IMAGE_SIZE_PX = 512
"""At 256 px, all images together are 5 % of what the libraries take, and none would be missed."""

MAX_RATIO = 1.15
"""Measured: 1.04 and 1.06, as further images have more objects; 1.25 and 1.31 if all are kept."""

EXTRACT = """
import resource, sys
from pathlib import Path
from stages import extract
sys.argv = ["extract", "shapes_val", "tiny", "identity"]
extract.main()
Path("peak_bytes").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


def test_eight_times_the_images_take_as_much_memory(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    few = _peak_bytes(tmp_path / "few", N_IMAGES[0])
    many = benchmark.pedantic(  # type: ignore[no-untyped-call]
        _peak_bytes, (tmp_path / "many", N_IMAGES[1]), rounds=1
    )
    ratio = many / few
    what = "extraction of eight times the images: memory"
    note_bar(benchmark, what, ratio, at_most=MAX_RATIO)
    print(
        f"\nmemory of an extraction of {N_IMAGES[1]} images against {N_IMAGES[0]}: "
        f"{many / 1e6:.0f} MB, ratio {ratio:.2f} (at most {MAX_RATIO})"
    )
    assert ratio <= MAX_RATIO


def _peak_bytes(root: Path, n_images: int) -> int:
    copy_files(root)
    params = read_params(root)
    params["shapes"] |= {
        "image_size_px": IMAGE_SIZE_PX,
        "n_train_images": 1,
        "n_val_images": n_images,
    }
    params["extract"] |= {"weights": "random-0", "shard_objects": 32, "device": "cpu"}
    write_params(root, params)
    run(root, sys.executable, "-m", "stages.shapes")
    run(root, sys.executable, "-m", "stages.prepare", "shapes_val")
    run(root, sys.executable, "-c", EXTRACT)
    return int((root / "peak_bytes").read_text(encoding="utf-8"))
