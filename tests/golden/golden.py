"""Golden files: the inputs of a stage, what it made of them, and the version under which it did.

DVC re-runs a stage that costs hours after a change of its data, its settings or its version, and of
no source file. A test holds each stage to its file, so that other numbers under the same version
are seen. ``docs/versions.md`` says when to raise one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from stages.settings.versions import VERSIONS

FOLDER: Final = Path(__file__).parent

Arrays = Mapping[str, np.ndarray]

Compare = Callable[[str, np.ndarray, np.ndarray], str | None]
"""How an array is off, by its name, its golden and its present values of the same shape."""


@dataclass(frozen=True)
class Golden:
    """The golden file of a stage.

    Attributes
    ----------
    draw_inputs
        Draws the inputs of a new file; an old one keeps its own.
    compute
        What the stage makes of the inputs, by ``<part>/.../<array>``.
    origin
        Beside the version, what the numbers follow from.
    """

    stage: str
    draw_inputs: Callable[[], Arrays]
    compute: Callable[[Arrays], Arrays]
    compare: Compare
    origin: Callable[[], Mapping[str, str]] = field(default=dict)
    folder: Path = FOLDER

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.stage}.npz"

    @property
    def remedy(self) -> str:
        """What to do where the numbers have changed."""
        return (
            f"raise {self.stage} in versions.yaml and stages/settings/versions.py if they shall, "
            f"then run `python -m tests.golden.make {self.stage}`"
        )

    def present_origin(self) -> dict[str, str]:
        """What numbers of today follow from."""
        return {"version": str(VERSIONS[self.stage]), **self.origin()}

    def read(self) -> dict[str, np.ndarray]:
        """Everything in the file: origin and inputs by plain names, results by paths."""
        with np.load(self.path) as file:
            return dict(file)

    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs in the file."""
        origin = self.present_origin()
        return {k: v for k, v in self.read().items() if "/" not in k and k not in origin}

    def results(self) -> dict[str, np.ndarray]:
        """What the stage made of the inputs, as the file has it."""
        return {k: values for k, values in self.read().items() if "/" in k}

    def is_present(self) -> bool:
        """Whether the file holds numbers of today's origin."""
        golden = self.read()
        origin = self.present_origin()
        return all(k in golden and str(golden[k]) == value for k, value in origin.items())

    def differences(self, found: Arrays) -> Iterator[str]:
        """Results that are not as in the file, and how far off they are."""
        wanted = self.results()
        for name in sorted(wanted.keys() | found.keys()):
            if name not in found or name not in wanted:
                yield f"{name}: is {'gone' if name in wanted else 'new'}"
            elif found[name].shape != wanted[name].shape:
                yield f"{name}: shape {wanted[name].shape} -> {found[name].shape}"
            elif off := self.compare(name, wanted[name], found[name]):
                yield f"{name}: {off}"

    def renew(self) -> None:
        """Write the file anew.

        Raises
        ------
        SystemExit
            If it holds other numbers of the same origin.
        """
        is_there = self.path.exists()
        inputs = self.inputs() if is_there else self.draw_inputs()
        found = self.compute(inputs)
        changed = list(self.differences(found)) if is_there and self.is_present() else []
        if changed:
            raise SystemExit(f"{self.stage} must be as in its file: {self.remedy}: {changed}")
        origin = {k: np.array(text) for k, text in self.present_origin().items()}
        np.savez_compressed(self.path, allow_pickle=False, **origin, **inputs, **found)


def off_by(wanted: np.ndarray, values: np.ndarray, allowed: float) -> str | None:
    """How far off the farthest number is, if that is more than is allowed; NaN always is."""
    off = np.abs(values.astype(np.float64) - wanted.astype(np.float64)).max(initial=0)
    return None if off <= allowed else f"off by {off:.2g}, {allowed:.2g} are allowed"
