"""Golden files: inputs of a stage, its outputs, and the version that computed them.

DVC re-runs a stage that costs hours after a change of its data, its settings or its version, but
not after a change of source files. A test compares each stage with its file, so that a change of
numbers under the same version is seen. ``docs/versions.md`` says when to raise a version.
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
"""Says how far an array is off, from its name, its golden values and its present values."""


@dataclass(frozen=True)
class Golden:
    """The golden file of a stage.

    Attributes
    ----------
    draw_inputs
        Draws the inputs of a new file; an existing file keeps its inputs.
    compute
        Runs the stage on the inputs; returns arrays by ``<part>/.../<array>``.
    origin
        Facts, beside the version, on which the numbers depend.
    """

    stage: str
    draw_inputs: Callable[[], Arrays]
    compute: Callable[[Arrays], Arrays]
    compare: Compare
    origin: Callable[[], Mapping[str, str]] = field(default=dict)
    folder: Path = FOLDER

    @property
    def path(self) -> Path:
        return self.folder / f"{self.stage}.npz"

    @property
    def remedy(self) -> str:
        """Remedy for changed numbers, as errors name it."""
        return (
            f"raise {self.stage} in versions.yaml and stages/settings/versions.py if they shall, "
            f"then run `python -m tests.golden.make {self.stage}`"
        )

    def present_origin(self) -> dict[str, str]:
        """Version and facts on which present numbers depend."""
        return {"version": str(VERSIONS[self.stage]), **self.origin()}

    def read(self) -> dict[str, np.ndarray]:
        """Arrays in the file: origin and inputs by plain names, results by paths."""
        with np.load(self.path) as file:
            return dict(file)

    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs in the file."""
        origin = self.present_origin()
        return {k: v for k, v in self.read().items() if "/" not in k and k not in origin}

    def results(self) -> dict[str, np.ndarray]:
        """Outputs of the stage in the file."""
        return {k: values for k, values in self.read().items() if "/" in k}

    def is_present(self) -> bool:
        """Whether the numbers in the file have the present origin."""
        golden = self.read()
        origin = self.present_origin()
        return all(k in golden and str(golden[k]) == value for k, value in origin.items())

    def differences(self, computed: Arrays) -> Iterator[str]:
        """Yields each result that differs from the file, and by how much."""
        golden = self.results()
        for name in sorted(golden.keys() | computed.keys()):
            if name not in computed or name not in golden:
                yield f"{name}: is {'gone' if name in golden else 'new'}"
            elif computed[name].shape != golden[name].shape:
                yield f"{name}: shape {golden[name].shape} -> {computed[name].shape}"
            elif off := self.compare(name, golden[name], computed[name]):
                yield f"{name}: {off}"

    def faults(self) -> list[str]:
        """How present numbers differ from those in the file, with the remedy; empty if equal."""
        if not self.is_present():
            return [f"{self.path.name} is of another version: {self.remedy}"]
        changed = list(self.differences(self.compute(self.inputs())))
        return (
            [f"what {self.stage} computes has changed: {self.remedy}", *changed] if changed else []
        )

    def renew(self) -> None:
        """Write the file again.

        Raises
        ------
        SystemExit
            If the file holds other numbers of the present origin.
        """
        is_there = self.path.exists()
        inputs = self.inputs() if is_there else self.draw_inputs()
        computed = self.compute(inputs)
        changed = list(self.differences(computed)) if is_there and self.is_present() else []
        if changed:
            raise SystemExit(f"{self.stage} must be as in its file: {self.remedy}: {changed}")
        origin = {k: np.array(text) for k, text in self.present_origin().items()}
        np.savez_compressed(self.path, allow_pickle=False, **origin, **inputs, **computed)


def off_by(golden: np.ndarray, values: np.ndarray, allowed: float) -> str | None:
    """Largest difference, in words, if it is more than ``allowed`` or NaN; None otherwise."""
    off = np.abs(values.astype(np.float64) - golden.astype(np.float64)).max(initial=0)
    return None if off <= allowed else f"off by {off:.2g}, {allowed:.2g} are allowed"
