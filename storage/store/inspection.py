"""Opens a store and checks its kind, signature and arrays against the schema and the manifest."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import zarr
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.storage import LocalStore, WrapperStore

from storage.errors import StoreError, shown
from storage.files.addresses import files_at
from storage.files.manifest import FILE, ROOT, FileRecord, Manifest, check_chunks, parse_manifest
from storage.files.store_files import Files
from storage.paths import remedy
from storage.store.chunk_grid import ChunkGrid, chunk_grid, shard_rows
from storage.store.schema import CODEC, SCHEMA, SCHEMA_VERSION, ArraySpec, specs_of
from storage.store.signature import compare

AnyArray = zarr.Array[Any]

DECODE_ERRORS: Final = (RuntimeError, ValueError, OSError, MemoryError)
"""Types of the errors that zarr raises for a damaged chunk: from zstd, an index, a file, or a size
that does not fit into memory."""


@dataclass(frozen=True)
class Store:
    """An open store of the current schema version, with its kind, signature and manifest."""

    files: Files
    group: zarr.Group
    kind: str
    signature: Mapping[str, object]
    manifest: Manifest

    def __str__(self) -> str:
        return str(self.files)

    @property
    def path(self) -> Path:
        """Folder of the store, which must not be at an address (an assertion)."""
        assert self.files.folder is not None
        return self.files.folder

    @cached_property
    def specs(self) -> Mapping[str, ArraySpec]:
        """Declarations of the store's arrays, by name; optional ones only if in the manifest."""
        return specs_of(self.kind, {name.partition("/")[0] for name in self.manifest})

    @property
    def shard_rows(self) -> int:
        """Number of rows per shard, from the signature; 1 for kinds without shards."""
        return shard_rows(self.signature)

    @cached_property
    def arrays(self) -> Mapping[str, AnyArray]:
        """The store's arrays by name, each checked against the schema.

        Raises a StoreError if an array is absent, unreadable, or of another dtype, shape, chunking
        or codec.
        """
        arrays = {name: self._array(name) for name in self.specs}
        sizes = self._sizes(arrays)
        for name, spec in self.specs.items():
            array = arrays[name]
            cut, stored = chunk_grid(spec, sizes, self.shard_rows), array_grid(array)
            is_dtype = array.dtype == _numpy_dtype(spec)
            if stored != cut or not is_dtype or array.compressors != (CODEC,):
                raise StoreError(
                    f"{self}/{name} must be {spec.dtype} in {cut} under {CODEC}, "
                    f"got {array.dtype} in {stored} under {array.compressors}"
                )
        return arrays

    @cached_property
    def faulty(self) -> tuple[str, ...]:
        """Names of files that are missing or of another size than the manifest says.

        Empty for an address, where sizes are not compared. A loss of power can leave empty files,
        and zarr reads an empty shard as fill values.
        """
        if self.files.folder is None:
            return ()
        sizes = self.files.sizes(self.manifest)
        return tuple(
            name for name, file in self.manifest.items() if sizes.get(name) != file.n_bytes
        )

    @property
    def size_bytes(self) -> int:
        """Total bytes of all chunk files, without metadata, from the manifest."""
        return sum(file.n_bytes for name, file in self.manifest.items() if not name.endswith(ROOT))

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every dimension by name, in the order of the schema."""
        return self._sizes(self.arrays)

    def _array(self, name: str) -> AnyArray:
        try:
            return cast("AnyArray", self.group[name])
        except (*DECODE_ERRORS, KeyError, TypeError) as error:
            raise StoreError(f"{self}/{name} must be a Zarr array, got none ({error})") from error

    def _sizes(self, arrays: Mapping[str, AnyArray]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for name, spec in self.specs.items():
            array = arrays[name]
            dims = getattr(array.metadata, "dimension_names", None)  # Zarr v2 has none
            if dims != spec.dims:
                raise StoreError(f"{self}/{name} must have dimensions {spec.dims}, got {dims}")
            for dim, size in zip(spec.dims, array.shape, strict=True):
                sizes.setdefault(dim, size)
        return sizes


def array_grid(array: AnyArray) -> ChunkGrid:
    """Shapes of a stored array, its chunks and its shards."""
    return ChunkGrid(array.shape, array.chunks, array.shards)


def _numpy_dtype(spec: ArraySpec) -> np.dtype:
    return np.dtypes.StringDType() if spec.dtype == "str" else np.dtype(spec.dtype)


def open_store(where: str | Path) -> Store:
    """Open a store for reading, and check its schema version and its manifest.

    Kind, signature, arrays and the sizes of files are not checked. Raises a StoreError if the store
    is missing, out of reach, or of another project or schema version, or its manifest is missing,
    damaged, or does not match ``zarr.json``.
    """
    files = files_at(where)
    root, kind, signature = read_description(files)
    version = signature.get("schema_version")
    if version != SCHEMA_VERSION:
        rule = f"schema_version must be {SCHEMA_VERSION}, got {shown(version)}"
        raise StoreError(f"{files}: {rule}{remedy(files.folder) if files.folder else ''}")
    manifest = _read_manifest(files, root)
    target = files.target
    store = LocalStore(target, read_only=True) if isinstance(target, Path) else target
    held = HeldStore(store, files, root, manifest, compares_shards=kind != "embeddings")
    group = zarr.open_group(held, mode="r", zarr_format=3)
    return Store(files, group, kind, signature, manifest)


class HeldStore(WrapperStore[ZarrStore]):
    """A zarr store that compares chunk files with the manifest when they are read.

    Files that are read whole are compared. Zarr reads only ranges of a shard, a file that joins
    chunks. A shard of masks in a folder is compared before its first range is read. A shard of
    masks at an address is not compared, since this would take too long. A shard of embeddings, of
    hundreds of megabytes, is not compared, either: ``read_embedding`` compares each image's levels
    with their digest. A missing shard is always refused: zarr would read fill values. Metadata of
    arrays are checked against the schema; the store's own metadata were compared when it was
    opened.
    """

    def __init__(
        self,
        store: ZarrStore,
        files: Files,
        root: bytes,
        manifest: Manifest,
        *,
        compares_shards: bool = True,
    ) -> None:
        super().__init__(store)
        self._files = files
        self._root = root
        self._manifest = manifest
        self._compares_shards = compares_shards and files.folder is not None
        self._checked: set[str] = set()

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, or a range of them, after the comparisons that the class describes.

        None for missing metadata of an array. Raises a StoreError if a chunk file is missing or
        differs from the manifest, or the address is out of reach; an OSError if a shard of masks is
        missing in a folder, when its first range is read.
        """
        if key == ROOT:
            return prototype.buffer.from_bytes(self._root)
        if isinstance(byte_range, SuffixByteRequest) and key in self._manifest:
            # DVC and Azure cannot read the last bytes of a file: the range is counted from its
            # start.
            n_bytes = self._manifest[key].n_bytes
            byte_range = RangeByteRequest(max(0, n_bytes - byte_range.suffix), n_bytes)
        if byte_range is not None and self._compares_shards and key not in self._checked:
            # The checksum of an index does not detect a shard that was copied from another store.
            check_chunks(self._files, key, self._manifest.get(key), self._files.record(key))
            self._checked.add(key)
        with self._files.naming():
            data = await self._store.get(key, prototype, byte_range)
        if byte_range is None and not key.endswith(ROOT):
            record = None if data is None else FileRecord.of(data.as_numpy_array().data)
            check_chunks(self._files, key, self._manifest.get(key), record)
        elif data is None and key in self._manifest:
            check_chunks(self._files, key, self._manifest[key], None)
        return data

    get_sync: Any = None
    """None, so that zarr reads by ``get``: ``FusedCodecPipeline`` of zarr 3.3 and later would use
    the method of ``WrapperStore``, which asks the wrapped store."""

    async def get_ranges(
        self,
        key: str,
        byte_ranges: Sequence[ByteRequest | None],
        **options: Any,  # noqa: ANN401 - how zarr joins ranges
    ) -> AsyncIterator[Sequence[tuple[int, Buffer | None]]]:
        """Ranges of a file, read by ``get``, whose errors are raised as they are.

        Notes
        -----
        zarr 3.3 and later read chunks of a shard by this method. That of ``WrapperStore`` asks the
        wrapped store, past ``get``. That of ``Store`` wraps errors in an ``ExceptionGroup``.
        """
        try:
            async for read in cast("Any", ZarrStore).get_ranges(self, key, byte_ranges, **options):
                yield read
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None


def read_description(files: Files) -> tuple[bytes, str, Mapping[str, object]]:
    """Read the metadata file ``zarr.json`` of a store, which may be of any schema version.

    Its bytes, and the store's kind and signature, are returned. Raises a StoreError if there is no
    store, the store is of another project, or its address is out of reach.
    """
    root = files.read(ROOT)
    if root is None:
        is_lost = files.folder is not None and not files.folder.exists()
        advice = remedy(files.folder) if files.folder and is_lost else ""
        raise StoreError(f"{files} must be a Zarr store, got none{advice}")
    try:
        attributes = json.loads(root)["attributes"]
        kind, signature = attributes.get("kind"), attributes.get("signature")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{files} must be a Zarr store, got none ({error})") from error
    if not isinstance(kind, str) or kind not in SCHEMA:
        raise StoreError(f"{files}: kind must be one of {', '.join(SCHEMA)}, got {shown(kind)}")
    if not isinstance(signature, Mapping):
        raise StoreError(f"{files}: signature must be a mapping, got {shown(signature)}")
    return root, kind, signature


def check_identity(store: Store, kind: str, expected: Mapping[str, object]) -> None:
    """Raise a StoreError for another kind of store, or a signature without ``expected`` entries.

    The message has the path, the entries and both values.
    """
    if store.kind != kind:
        raise StoreError(f"{store}: kind must be {kind}, got {store.kind}")
    difference = compare(store.signature, expected)
    if difference is not None:
        advice = "" if store.files.folder is None else remedy(store.files.folder)
        raise StoreError(f"{store} was written under other inputs ({difference}){advice}")


def _read_manifest(files: Files, root: bytes) -> Manifest:
    """Read the manifest of a store; a StoreError if there is none, or ``root`` differs from it.

    ``root`` has the bytes of ``zarr.json``.
    """
    data = files.read(FILE)
    if data is None:
        raise StoreError(f"{files}/{FILE} must be the manifest of the store, got none")
    manifest = parse_manifest(f"{files}/{FILE}", data)
    present = FileRecord.of(root)
    if (listed := manifest.get(ROOT)) != present:
        raise StoreError(
            f"{files}/{ROOT} must be the file of the manifest, "
            f"with sha256 {shown(listed and listed.sha256)}, got {present.sha256!r}"
        )
    return manifest
