import pytest

from storage.store.schema import FIXED_COORDINATES, SCHEMA, coordinates


@pytest.mark.parametrize("kind", SCHEMA)
def test_no_dimension_is_named_like_an_array_of_many_dimensions(kind: str) -> None:
    dims = {dim for spec in SCHEMA[kind].values() for dim in spec.dims}
    many = {name for name, spec in SCHEMA[kind].items() if len(spec.dims) > 1}
    assert not dims & many, "xarray would refuse the store"


@pytest.mark.parametrize("kind", ["features", "masks"])
def test_arrays_that_come_shard_by_shard_run_along_objects(kind: str) -> None:
    for spec in SCHEMA[kind].values():
        if not spec.is_constant:
            assert spec.dims[0] == "object"
        if spec.chunking == "prompt_rows":
            assert spec.dims[:2] == ("object", "prompt")


def test_coordinates_are_those_of_the_schema() -> None:
    assert coordinates("masks") == "object_id prompt proposal"
    assert set(FIXED_COORDINATES) <= {n for arrays in SCHEMA.values() for n in arrays}
