"""Stores in buckets and on web servers, by obstore.

Imported only where an address asks for it.
"""

import os
from datetime import timedelta
from functools import lru_cache
from typing import Any

from obstore.store import ObjectStore as Client
from obstore.store import from_url
from zarr.storage import ObjectStore

from storage.errors import StoreError


def bucket_store(address: str, retry_s: int) -> ObjectStore[Client]:
    """A store by its address.

    Parameters
    ----------
    retry_s
        Longest wait for a server that does not answer.

    Raises
    ------
    StoreError
        If there are no credentials.
    BaseError
        Of obstore, if it cannot be asked.
    """
    # Other variables may mean another server, or other credentials.
    environment = tuple(sorted(os.environ.items()))
    options = dict(_s3_options(environment)) if address.startswith("s3") else {}
    if address.startswith("http://"):
        options["client_options"] = {"allow_http": True}
    # More than fit into the time limit, which then decides.
    options["retry_config"] = {"max_retries": 99, "retry_timeout": timedelta(seconds=retry_s)}
    return ObjectStore(from_url(address, **options), read_only=True)


@lru_cache(maxsize=8)  # a cache has many stores, and boto3 takes 30 ms
def _s3_options(_environment: tuple[tuple[str, str], ...]) -> dict[str, Any]:
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
