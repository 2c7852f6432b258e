"""Opens stores for reading: in a folder, a bucket, on a server, in a DVC repository.

The library that reads a kind of address is imported when the first such address is opened.
"""

import atexit
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from zarr.abc.store import Store
from zarr.storage import FsspecStore, ObjectStore

from storage.errors import StoreError, hidden
from storage.files.store_files import AWAY, Failures, Files, named_failures

T = TypeVar("T")
R = TypeVar("R")

DVC_ADDRESS: Final = re.compile(r"dvc://(?P<repository>.+)@(?P<revision>[^@/]+)/(?P<path>.+)")
"""Form of the address of a store in a DVC repository. The last ``@`` ends the repository; a ``/``
in the name of a branch is written ``%2F``."""

REQUEST_S: Final = 30
"""Longest wait, in seconds, for the whole answer to one request to a bucket."""

RETRY_S: Final = 40
"""Seconds after which a request that fails is not sent to a bucket again.

Longer than ``REQUEST_S``, so that a request whose answer is lost is sent again."""

EXIT_S: Final = 0.1
"""Seconds that a process that has read a bucket waits at its exit for obstore's threads.

A Rust thread that calls into Python while Python exits aborts the process with status 134, though
everything was read. Each thread needs microseconds."""

N_AT_ONCE: Final = 16
"""Number of stores at an address that are opened at the same time."""


def is_address(where: str | Path) -> bool:
    """Whether ``where`` is an address with a scheme (``s3://...``), not a path."""
    return isinstance(where, str) and "://" in where


def map_stores(work: Callable[[T], R], items: Iterable[T], where: str | Path) -> list[R]:
    """Apply ``work`` to each item, which names a store below ``where``; results keep the order.

    At an address, ``N_AT_ONCE`` threads work, since each waits for a server.
    """
    if not is_address(where):
        return list(map(work, items))
    with ThreadPoolExecutor(N_AT_ONCE) as pool:
        return list(pool.map(work, items))


def files_at(where: str | Path) -> Files:
    """Open the files of a store for reading, by the store's path or address.

    A store that is missing in a folder or a bucket shows only when a file is read. Raises a
    StoreError if the address is malformed or of an unknown scheme, a package that reads it is not
    installed, or its repository cannot be read.
    """
    if isinstance(where, Path) or not is_address(where):
        return Files(str(where), Path(where))
    scheme, _, place = where.partition("://")
    address = f"{scheme}://{place.rstrip('/')}"
    if scheme == "file":
        return Files(address, Path(place))
    with named_failures(address, (OSError, ValueError, TypeError, ImportError)):
        store, failures = OPENERS.get(scheme, _with_fsspec)(address)
    return Files(hidden(address), store, failures)


def _in_bucket(address: str) -> tuple[Store, Failures]:
    """Open a store in a bucket; return it with the types of its reading errors.

    obstore reads some three times as fast as fsspec.
    """
    from obstore.exceptions import BaseError  # noqa: PLC0415

    with named_failures(address, (BaseError,), AWAY):
        return ObjectStore(_bucket(address), read_only=True), (BaseError,)


def _bucket(address: str) -> Any:  # noqa: ANN401 - obstore's class depends on the scheme
    """Open a bucket or a web server with obstore, whose ``BaseError`` is not caught."""
    from obstore.store import from_url  # noqa: PLC0415

    _stay_at_the_end()
    # Part of the cache key: a changed variable may name another server or other credentials.
    environment = tuple(sorted(os.environ.items()))
    options = dict(_s3_options(environment)) if address.startswith("s3") else {}
    server = os.environ.get("AWS_ENDPOINT_URL", "") if address.startswith("s3") else address
    http = server.startswith("http://")
    options["client_options"] = {"allow_http": http, "timeout": timedelta(seconds=REQUEST_S)}
    # More retries than fit into the time limit, so that the limit ends them.
    options["retry_config"] = {"max_retries": 99, "retry_timeout": timedelta(seconds=RETRY_S)}
    return from_url(address, **options)


@cache
def _stay_at_the_end() -> None:
    atexit.register(time.sleep, EXIT_S)


@lru_cache(maxsize=8)  # one cache has many stores, and boto3 takes 30 ms for each
def _s3_options(_environment: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Options of S3 that obstore does not read itself: the credentials of a profile.

    boto3 reads them; without boto3, they are left out. Raises a StoreError if boto3
    finds none and ``AWS_SKIP_SIGNATURE`` is not ``true``.
    """
    if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return {}
    try:
        from boto3 import Session  # noqa: PLC0415
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ImportError:
        return {}
    session = Session()
    if session.get_credentials() is None:
        raise StoreError(
            "credentials of S3 must be set in the environment or in ~/.aws "
            "(AWS_SKIP_SIGNATURE=true reads a public bucket without any), got none"
        )
    return {"credential_provider": Boto3CredentialProvider(session)}


def _with_fsspec(address: str) -> tuple[Store, Failures]:
    failures = fsspec_failures(address)
    return FsspecStore.from_url(address, read_only=True), failures


def fsspec_failures(address: str) -> Failures:
    """Types of the errors that fsspec raises at an address that it cannot read.

    Raises a StoreError if fsspec does not know the scheme, an ImportError if a package for
    addresses of S3, SSH or Hugging Face is not installed.
    """
    from fsspec import available_protocols  # noqa: PLC0415

    scheme = address.partition("://")[0]
    if scheme not in available_protocols():
        schemes = ", ".join([*OPENERS, "file"])
        raise StoreError(
            f"scheme of {hidden(address)} must be one of {schemes}, or one that fsspec knows, "
            f"got {scheme!r}"
        )
    failures: Failures = (OSError, ValueError)
    if scheme in {"s3", "s3a"}:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        failures = (*failures, BotoCoreError)
    if scheme in {"ssh", "sftp"}:
        failures = (*failures, import_module("asyncssh").Error)
    if scheme == "hf":
        # Each major version uses another HTTP library and does not wrap its errors.
        failures = (*failures, *import_module("huggingface_hub.errors").HfHubHTTPError.__bases__)
    return failures


def _in_repository(address: str) -> tuple[Store, Failures]:
    """Open a store in the DVC remote of a Git repository; the remote's data are not cloned.

    The types of its reading errors are returned with it. Raises a StoreError for another form of
    address, or if the repository cannot be opened.
    """
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper  # noqa: PLC0415
    from scmrepo.exceptions import SCMError  # noqa: PLC0415

    match = DVC_ADDRESS.fullmatch(address)
    if match is None:
        raise StoreError(f"address must be dvc://REPOSITORY@REVISION/PATH, got {hidden(address)}")
    failures = (DvcException, SCMError, OSError)
    with named_failures(address, failures):
        files = _opened_repository(match["repository"], match["revision"].replace("%2F", "/"))
    wrapper = AsyncFileSystemWrapper(files, asynchronous=True)
    return FsspecStore(wrapper, path=f"/{match['path']}", read_only=True), failures


@cache
def _opened_repository(repository: str, revision: str) -> Any:  # noqa: ANN401 - dvc has no types
    """Open the file system of a DVC repository, once: opening takes seconds per repository."""
    from dvc.api import DVCFileSystem  # noqa: PLC0415

    files = DVCFileSystem(url=repository, rev=revision)
    files.repo  # noqa: B018 - opens the repository, so that its faults are raised here
    return files


OPENERS: Final[Mapping[str, Callable[[str], tuple[Store, Failures]]]] = MappingProxyType(
    {
        "dvc": _in_repository,
        **dict.fromkeys(("s3", "s3a", "gs", "az", "abfs", "http", "https"), _in_bucket),
    }
)
"""Function that opens a store, by the scheme of its address; fsspec opens other schemes. It takes
the address, and returns a Zarr store and the types of the errors of reading it."""
