"""Files that a DVC repository tracks, read from its remote."""

import os
from functools import cache

from dvc.api import DVCFileSystem


class RepositoryFiles(DVCFileSystem):  # type: ignore[misc] # dvc ships no types
    """A file system of DVC's that reads the ends of files, as the index of a shard needs."""

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: object
    ) -> bytes:
        """Bytes of a file; a negative start counts from its end."""
        if start is None or start >= 0:
            return bytes(super().cat_file(path, start=start, end=end, **options))
        # DVC opens files of a folder remote as Python does: they know no size, but can seek.
        with self.open(path, "rb") as file:
            file.seek(start, os.SEEK_END)
            return bytes(file.read())


@cache
def repository_files(repository: str, revision: str) -> RepositoryFiles:
    """Files of a repository, a folder or whatever git clones, at one of its revisions.

    Opened once: it takes seconds, and a cache has many stores.
    """
    files = RepositoryFiles(url=repository, rev=revision)
    files.repo  # noqa: B018 - opens the repository, so that its faults show here
    return files
