"""Sends files of DVC's cache to a remote, after asking the remote which files it has.

``dvc push`` does not ask: it assumes that a folder is complete whose listing is in the remote. A
push that is interrupted while it lists files keeps a part of its list; the next push sends this
part and the listings, and reports that all is there (DVC 3.67: 16 of 26 files, 461 of 476).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from storage.errors import StoreError, hidden, listed
from storage.files.addresses import fsspec_failures, is_address
from storage.files.store_files import AWAY, named_failures
from storage.pool.dvc_cache import (
    LISTING,
    cached_file,
    is_cached,
    is_mended,
    note_sent,
    repaired_files,
)

N_TOGETHER: Final = 256
"""Number of files in one call of DVC's transfer, which opens several connections."""

N_ROUNDS: Final = 3
"""Number of attempts to send the files that the remote lacks."""


@dataclass(frozen=True)
class Pushed:
    """Result of a push of outputs in ``dvc.lock`` to one remote.

    An output with a remote of its own in ``dvc.yaml`` belongs to that remote alone.

    Attributes
    ----------
    remote
        Address of the remote, without passwords.
    n_files
        Number of files that belong to this remote, sent or not; DVC's listings of folders count.
    n_sent
        Number of files that were sent: the remote lacked them, or they were repaired.
    n_repaired
        Number of sent files that the remote already had, from before they were repaired here.
    """

    remote: str
    n_files: int
    n_sent: int
    n_repaired: int


Show = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Makes a progress display for a number of files: a context that yields a function, which is called
with the number of files just sent."""


def push(remote: str | None, show: Show) -> list[Pushed]:
    """Send the files of all outputs in ``dvc.lock`` that remotes lack, and repaired files.

    Raises a StoreError if a file to send is missing or damaged here (then its remote gets none),
    there is no default remote, a remote cannot be reached, or it still lacks files after
    ``N_ROUNDS`` attempts.

    Parameters
    ----------
    remote
        Name of a DVC remote; None is the default remote.
    show
        Makes the display of the progress of sending.

    Returns
    -------
    Numbers of files for each remote: ``remote``, and remotes that outputs in ``dvc.yaml`` name.
    """
    from dvc.config import NoRemoteError  # noqa: PLC0415
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    label = f"remote {remote}" if remote else "the default remote"
    with named_failures(label, (DvcException,)), Repo() as repo:
        try:
            default = repo.cloud.get_remote_odb(remote, "usam cache push")
        except NoRemoteError as error:
            raise StoreError(
                "DVC must have a default remote, got none: `dvc remote add -d NAME ADDRESS` sets it"
            ) from error
        used = repo.index.used_objs(remote=remote, push=True)
        names = {odb or default: {i.value: i.obj_name for i in used[odb]} for odb in used}
        return [_push(odb, of_odb, repo.cache.local.fs, show) for odb, of_odb in names.items()]


def _push(
    remote: Any,  # noqa: ANN401 - DVC has no types
    names: Mapping[str, str],
    files: Any,  # noqa: ANN401
    show: Show,
) -> Pushed:
    """Send files to one remote; ``names`` are the paths of the files in outputs, by md5.

    Raises a StoreError if a file is missing or damaged here, or missing in the remote at the end.
    """
    address = hidden(remote.fs.unstrip_protocol(remote.path).removesuffix("/files/md5"))
    failures = fsspec_failures(address) if is_address(address) else (OSError, ValueError)
    with named_failures(address, failures, AWAY):
        present = {*remote.oids_exist([*names])}
        sent_to = repaired_files()
        repaired = {md5 for md5 in sent_to if md5 in present and address not in sent_to[md5]}
        to_send = lacking = [md5 for md5 in names if md5 not in present or md5 in repaired]
        _check_intact({md5: names[md5] for md5 in to_send})
        for _ in range(N_ROUNDS if to_send else 0):
            with show(len(lacking)) as advance:
                for md5s in _batches(lacking):
                    paths = [str(cached_file(md5)) for md5 in md5s]
                    remote.add(paths, files, md5s, check_exists=False)
                    advance(len(md5s))
            present = {*remote.oids_exist([*names])}
            lacking = [md5 for md5 in names if md5 not in present]
            if not lacking:
                break
    if lacking:
        raise StoreError(
            f"{address} must have every file that was sent, got {len(lacking)} missing "
            f"({listed([names[md5] for md5 in lacking])}); run it again"
        )
    note_sent(repaired, address)
    return Pushed(address, len(names), len(to_send), len(repaired))


def _batches(md5s: Sequence[str]) -> Iterator[list[str]]:
    """Yield md5s in groups for one call each; listings come last, without other files.

    DVC takes a listed folder for complete, and a call sends several files at once, in any order.
    """
    listings = [md5 for md5 in md5s if md5.endswith(LISTING)]
    files = [md5 for md5 in md5s if not md5.endswith(LISTING)]
    for group in (files, listings):
        for start in range(0, len(group), N_TOGETHER):
            yield group[start : start + N_TOGETHER]


def _check_intact(names: Mapping[str, str]) -> None:
    """Mend files of DVC's cache from the outputs; a StoreError if some stay missing or damaged.

    ``names`` are the paths of the files in outputs, by md5.
    """
    lost = [
        name
        for md5, name in names.items()
        if not is_cached(md5) and not is_mended(md5.removesuffix(LISTING), Path(name))
    ]
    if lost:
        raise StoreError(
            f"files must be intact in DVC's cache or in the outputs to be sent, got {len(lost)} "
            f"missing or damaged ({listed(lost)}); `usam cache repair` makes them again"
        )
