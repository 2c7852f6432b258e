"""Stores in buckets and on web servers, by obstore.

Imported only where an address asks for it.
"""

import os
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from obstore import get
from obstore.store import ObjectStore as Client
from obstore.store import from_url
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest
from zarr.buffer import default_buffer_prototype
from zarr.storage import ObjectStore

from storage.errors import StoreError
from storage.files.manifest import ROOT

IN_BUCKET: Final = re.compile(r"(?P<bucket>(s3a?|gs)://[^/]+)/(?P<folder>.+)")
"""Addresses that say where the name of the bucket ends."""


class BucketFolder(ObjectStore[Client]):
    """A store in a bucket, over the client that all stores of the bucket share.

    A client of its own costs a store 7 ms, and a new connection for every request at a time.
    """

    def __init__(self, client: Client, folder: str) -> None:
        super().__init__(client, read_only=True)
        self._folder = f"{folder}/" if folder else ""
        self._root: Buffer | None = None
        # Asked here and in this thread: a request that zarr gave up on, still retried in the
        # background as Python ends, aborts the process (obstore 0.12).
        with suppress(FileNotFoundError):
            data = get(client, f"{self._folder}{ROOT}").bytes()
            self._root = default_buffer_prototype().buffer.from_bytes(bytes(data))

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, or None."""
        if key == ROOT and byte_range is None and self._root is not None:
            # Once: a second call should see the file's new state.
            data, self._root = self._root, None
            return data
        return await super().get(f"{self._folder}{key}", prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Ranges of files."""
        inside = [(f"{self._folder}{key}", some) for key, some in key_ranges]
        return await super().get_partial_values(prototype, inside)

    async def getsize(self, key: str) -> int:
        """Bytes of a file."""
        return await super().getsize(f"{self._folder}{key}")

    async def exists(self, key: str) -> bool:
        """Whether a file is there."""
        return await super().exists(f"{self._folder}{key}")

    async def list(self) -> AsyncGenerator[str, None]:
        """Every file."""
        async for name in super().list_prefix(self._folder):
            yield name.removeprefix(self._folder)

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """Names in a folder."""
        async for name in super().list_dir(f"{self._folder}{prefix}"):
            yield name


def bucket_folder(address: str, retry_s: int) -> BucketFolder:
    """A store by its address; asks for its first file.

    Parameters
    ----------
    retry_s
        Longest wait for a server that does not answer.

    Raises
    ------
    StoreError
        If there are no credentials.
    BaseError
        Of obstore, if nothing there can be asked.
    """
    found = IN_BUCKET.fullmatch(address)
    place, folder = (found["bucket"], unquote(found["folder"])) if found else (address, "")
    # Other variables may mean another server, or other credentials.
    return BucketFolder(_client(place, retry_s, tuple(sorted(os.environ.items()))), folder)


@lru_cache(maxsize=8)
def _client(place: str, retry_s: int, _environment: tuple[tuple[str, str], ...]) -> Client:
    options: dict[str, Any] = _s3_options() if place.startswith("s3") else {}
    if place.startswith("http://"):
        options["client_options"] = {"allow_http": True}
    # More than fit into the time limit, which then decides.
    options["retry_config"] = {"max_retries": 99, "retry_timeout": timedelta(seconds=retry_s)}
    return from_url(place, **options)


def _s3_options() -> dict[str, Any]:
    """What obstore does not find out alone: credentials of a profile, and a plain endpoint."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    options: dict[str, Any] = {"client_options": {"allow_http": endpoint.startswith("http://")}}
    if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return options
    try:
        from boto3 import Session  # noqa: PLC0415
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ImportError:
        return options
    session = Session()
    if session.get_credentials() is None:
        raise StoreError(
            "credentials of S3 must be set in the environment or in ~/.aws "
            "(AWS_SKIP_SIGNATURE=true reads a public bucket without any), got none"
        )
    return {**options, "credential_provider": Boto3CredentialProvider(session)}
