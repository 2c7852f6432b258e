"""COCO results of many images: kept image by image, written whole at the end."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from storage.folders import whole_file

Results = list[dict[str, Any]]
"""Entries of a COCO results file for one image."""

_SIGNATURE: Final = "made_from"


class KeptResults:
    """Results of the images that are done, in a file of lines beside the one to be written.

    Work from other inputs, whose signature differs, is begun anew.
    """

    def __init__(self, results: Path, signature: Mapping[str, str]) -> None:
        self._path = results.with_name(f"{results.name}.work")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        first = {_SIGNATURE: dict(signature)}
        lines = list(_whole_lines(self._path))
        self._done: dict[int | str, Results] = {}
        if lines[:1] == [first]:
            self._done = {line["image_id"]: line["results"] for line in lines[1:]}
        # Rewritten, so that nothing is appended to half a line.
        with whole_file(self._path) as partial, partial.open("w", encoding="utf-8") as file:
            file.write(_line(first))
            file.writelines(_line(_entry(*own)) for own in self._done.items())

    def __contains__(self, image_id: int | str) -> bool:
        return image_id in self._done

    def keep(self, image_id: int | str, results: Results) -> None:
        """Keep the results of an image, for this run and the next."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(_entry(image_id, results)))
        self._done[image_id] = results

    def write(self, results: Path, image_ids: Iterable[int | str]) -> int:
        """Write the results of some images as one file; return their number."""
        every = [one for image_id in image_ids for one in self._done.get(image_id, [])]
        with whole_file(results) as partial:
            partial.write_text(json.dumps(every), encoding="utf-8")
        return len(every)

    def forget(self) -> None:
        """Remove the file of lines."""
        self._path.unlink()


def _entry(image_id: int | str, results: Results) -> dict[str, Any]:
    return {"image_id": image_id, "results": results}


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content) + "\n"


def _whole_lines(path: Path) -> Iterable[dict[str, Any]]:
    """Lines of a file, if it exists, up to one cut short by a kill."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        try:
            content = json.loads(line)
        except ValueError:
            return
        yield content
