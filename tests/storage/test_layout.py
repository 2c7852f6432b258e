from storage import layout


def test_every_thing_has_its_own_place() -> None:
    cell = ("val", "tiny", "identity")
    places = [
        layout.objects_path("val"),
        layout.features_path(*cell),
        layout.masks_path(*cell),
        layout.entropy_path("val"),
        layout.work_dir(*cell),
        layout.head_path("val", "iou_tiny"),
        layout.head_path("val", "iou_tiny", "selected"),
        layout.tokens_dir("val"),
        layout.tuning_path("val", "iou_tiny"),
        layout.trials_path("val", "iou_tiny"),
        layout.results_dir("val"),
        layout.gallery_dir("val"),
    ]
    assert len(set(places)) == len(places)
    assert [str(path) for path in places[:5]] == [
        "cache/objects/val.zarr",
        "cache/features/val/tiny/identity.zarr",
        "cache/masks/val/tiny/identity.zarr",
        "cache/entropy/val.zarr",
        "cache/work/val/tiny/identity",
    ]
    assert not any(path.is_relative_to(layout.WORK) for path in places if path != places[4])
