"""``usam doctor``: checks this machine, and names a remedy for each fault."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer

from pipeline.sam.families import PHOTOGRAPHS, models_of
from pipeline.scenes.scene import draw_scene
from stages.cli.columns import aligned, bytes_text
from stages.predictor import command_options
from stages.program.main import one_line, reported_errors
from stages.settings.blocks import ExtractParams
from stages.settings.params import read_params
from stages.settings.parsing import PARAMS_FILE, ParamsError, check_known, parse
from stages.settings.signatures import weights_record
from storage.checkpoints import weights as weights_files
from storage.errors import DataError, WeightsError
from storage.head_files.head_file import family_heads, read_head_file

if TYPE_CHECKING:
    import torch

    from pipeline.sam.model import Decoded

LEAST_FREE_BYTES: Final = 10_000_000_000
"""Free bytes on the disk below which the report has a remedy.

Masks of about ten thousand objects need this space; ``usam plan`` knows the need of a project.
"""

LEAST_AGREEMENT: Final = {"fp32": 0.999, "bf16": 0.95}
"""By precision, the smallest IoU with the CPU's masks at which a device's masks are correct."""

DEFAULTS: Final = {
    "family": PHOTOGRAPHS,
    "weights": "file",
    "precision": "fp32",
    "encoder_batch": 1,
    "decoder_batch": "auto",
    "shard_objects": 256,
    "device": "auto",
}
"""Settings of the block ``extract`` where there is no params.yaml."""


@dataclass(frozen=True)
class Finding:
    """A line of the report about one subject; without a fault, the remedy is empty."""

    subject: str
    fact: str
    remedy: str = ""


def doctor(
    family: command_options.Family = None,
    model: command_options.Model = None,
    heads: command_options.Heads = None,
    weights: command_options.Weights = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    precision: command_options.Precision = None,
) -> None:
    """Check device, weights, heads, disk, DVC and a click's answer.

    The settings are those of params.yaml, if it is there; the card of --heads and options replace
    them. Exit 1 if a check finds a fault.
    """
    with reported_errors():
        settings = asdict(read_params().extract) if PARAMS_FILE.exists() else DEFAULTS
        card = read_head_file(heads).card if heads else {}
        settings |= {key: card[key] for key in ("family", "precision") if key in card}
        options = {"family": family, "device": device, "precision": precision}
        settings |= {key: option for key, option in options.items() if option}
        params = parse("extract", settings, ExtractParams)
        if model is not None:
            check_known("model", model, models_of(params.family))
        if weights is not None:
            model = model or models_of(params.family)[0]
            params = replace(params, weights={model: str(weights.absolute())})
        is_well = True
        for finding in findings(params, model, heads):
            mark = "!!" if finding.remedy else "ok"
            print(aligned([(mark, f"{finding.subject:<11}", finding.fact)]), flush=True)
            if finding.remedy:
                print(f"    {finding.remedy}")
                is_well = False
    if not is_well:
        raise typer.Exit(1)


def findings(params: ExtractParams, model: str | None, heads: Path | None) -> Iterator[Finding]:
    """Check this machine, the quickest checks first; yield one finding or more per check.

    Disk and links are checked only in the folder of a params.yaml: only stages need them. Without a
    usable device, no click is answered.

    Parameters
    ----------
    model
        Model that answers a click, and whose weights alone are checked. By default, the weights of
        all models are checked, and the smallest model whose weights are on disk answers or,
        without any, the smallest model of the family with random weights.
    heads
        Head file: by default, the file of the family's heads.

    Raises
    ------
    WeightsError
        If the weights of the model are damaged, after the findings of all other checks.
    """
    # Imported late here and below: torch takes seconds, and the help needs none of it.
    import torch  # noqa: PLC0415

    from stages.extraction.models import settled_device  # noqa: PLC0415

    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    device = _device(params.device)
    yield device
    yield _precision(params.precision)
    for name in models_of(params.family):
        record = weights_record(params, name)
        if record is not None and model in {None, name}:
            yield _weights(record)
    yield _heads(params, model, heads)
    if PARAMS_FILE.exists():
        yield _disk()
        yield _links()
    yield _dvc()
    if not device.remedy:
        yield _click(params, model, settled_device(params.device))


def _device(setting: str) -> Finding:
    from stages.extraction.models import device_name, settled_device  # noqa: PLC0415

    remedy = "" if setting == "cpu" else unseen_gpu()
    try:
        device = settled_device(setting)
    except ParamsError as error:
        return Finding("device", one_line(error), remedy or "ask for the device auto")
    return Finding("device", f"{device.type}, {device_name(device)}", remedy)


def unseen_gpu() -> str:
    """Remedy for a GPU of this machine that torch does not see; empty if it sees it or has none."""
    import torch  # noqa: PLC0415

    if torch.cuda.is_available() or not Path("/dev/nvidia0").exists():
        return ""
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
    return f"there is a GPU: install a torch that is built for its driver, this one is for {built}"


def _precision(precision: str) -> Finding:
    import torch  # noqa: PLC0415

    is_slow = precision == "bf16" and torch.cuda.is_available()
    is_slow = is_slow and not torch.cuda.is_bf16_supported(including_emulation=False)
    remedy = "this GPU only imitates bf16: set extract.precision to fp32" if is_slow else ""
    return Finding("precision", precision, remedy)


def _weights(record: weights_files.Checkpoint) -> Finding:
    state = weights_files.state(record)
    name = f"{record.family} {record.model}: {state}"
    if state == "intact":
        own = "" if record.own is None else f" {record.own}"
        return Finding("weights", f"{name}{own}, sha256 {record.digest[:12]}")
    return Finding("weights", name, weights_files.remedy_of(record))


def _heads(params: ExtractParams, model: str | None, path: Path | None) -> Finding:
    """Check that heads can judge masks of the model, as ``usam predict`` would do.

    Extraction needs no heads: unusable heads have a remedy only if the user named their file, or if
    the family's default file is damaged.
    """
    from stages.predictor.loading import check_fit  # noqa: PLC0415

    record = weights_record(params, model or models_of(params.family)[0])
    own = None if record is None else record.own
    try:
        asked = command_options.ModelOptions(
            params.family, model, path, weights=own, precision=params.precision
        )
        choice = asked.choose()
        check_fit(choice)
    except (ParamsError, WeightsError, DataError) as error:
        remedy = f"name other heads, or leave --heads out for those of {params.family}"
        is_damaged = isinstance(error, WeightsError) and family_heads(params.family).is_file()
        is_damaged &= own is None or own.is_file()  # absent weights have a line of their own
        if path is None:
            remedy = "predictions fail until these heads are mended" if is_damaged else ""
        return Finding("heads", f"no predictions: {one_line(error)}", remedy)
    if choice.heads is None:
        return Finding("heads", f"none: {choice.no_heads}")
    models = ", ".join(choice.file.models)
    return Finding("heads", f"{choice.heads} from {choice.file.card['split']}, for {models}")


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    remedy = "" if free > LEAST_FREE_BYTES else "usam plan says what is needed, usam cache clean"
    return Finding("disk", f"{bytes_text(free)} free", f"{remedy} removes" if remedy else "")


def _links() -> Finding:
    try:
        with tempfile.TemporaryDirectory(dir=".", prefix=".usam-") as folder:
            file = Path(folder, "file")
            file.touch()
            os.link(file, file.with_name("link"))
    except OSError as error:
        remedy = "masks would lie here twice: take a disk that has hard links and may be written to"
        return Finding("links", one_line(error), remedy)
    return Finding("links", "hard links")


def _dvc() -> Finding:
    if not Path("dvc.yaml").exists():
        return Finding("DVC", "not needed: no dvc.yaml here")
    try:
        installed = version("dvc")
    except PackageNotFoundError:
        return Finding("DVC", "not installed: dvc repro needs it, usam run does not")
    from dvc.exceptions import NotDvcRepoError  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc.scm import SCMError  # noqa: PLC0415

    remedy = ""
    try:
        with Repo() as repo:
            repo.scm  # noqa: B018 - raises the error
    except NotDvcRepoError:
        remedy = "run git init and dvc init"
    except SCMError:  # the archive of a release, or of a branch
        remedy = "run git init"
    return Finding("DVC", installed, remedy)


def _click(params: ExtractParams, model: str | None, device: "torch.device") -> Finding:
    """Compare this device's masks of a click with the CPU's.

    The CPU's masks come from ``sam2``'s own decoder, in single precision. Without weights on disk,
    weights are random.
    """
    from stages.extraction.models import load_sam  # noqa: PLC0415

    models = models_of(params.family)
    records = {name: weights_record(params, name) for name in models}
    trained = [
        name for name, record in records.items() if record and weights_files.is_there(record)
    ]
    model = model or next(iter(trained), models[0])
    is_trained = model in trained
    used = params.weights_of(model) if is_trained else "random-0"
    sam, reference = (
        load_sam(params.family, model, precision=precision, device=where, weights=used)
        for precision, where in ((params.precision, device.type), ("fp32", "cpu"))
    )
    scene = draw_scene(3, 256)
    y, x = np.argwhere(scene.masks[0])[scene.masks[0].sum() // 2]
    points = np.array([[[x, y]]], np.float32)
    answer = sam.decode(sam.encode(scene.rgb), points)
    expected = reference.decode_plainly(reference.encode(scene.rgb), points)
    iou, gap = _agreement(answer, expected)
    named = f"{params.family} {model}{'' if is_trained else ' with random weights'}"
    return Finding(
        "click",
        f"{named}: differs from the CPU in {1 - iou:.1g} of the masks, {gap:.1g} of the SamScore",
        ""
        if iou >= LEAST_AGREEMENT[params.precision]
        else "torch computes something else on this device: try fp32, then another torch or driver",
    )


def _agreement(answer: "Decoded", expected: "Decoded") -> tuple[float, float]:
    """IoU of answered with expected masks, all pixels together; largest SamScore difference."""
    masks, expected_masks = answer.logits.cpu() > 0, expected.logits.cpu() > 0
    union = int((masks | expected_masks).sum())
    iou = int((masks & expected_masks).sum()) / union if union else 1.0
    return iou, float((answer.sam_score.cpu() - expected.sam_score.cpu()).abs().max())
