from pipeline.heads.kinds import HeadSet
from storage import paths
from storage.head_files.head_file import head_set_path


def test_every_thing_has_its_own_place() -> None:
    cell = ("val", "tiny", "identity")
    places = [
        paths.objects_path("val"),
        paths.features_path(*cell),
        paths.masks_path(*cell),
        paths.entropy_path("val"),
        head_set_path("val", HeadSet("best", "best")),
        head_set_path("val", HeadSet("best", "selected")),
        head_set_path("val", HeadSet("selected", "selected")),
        head_set_path("val", HeadSet("selected", "selected", "ours")),
        paths.curves_path("val"),
        paths.tuning_path("val", "iou_tiny"),
        paths.trials_path("val", "iou_tiny"),
        paths.results_dir("val"),
        paths.gallery_dir("val"),
        paths.gate_path("val", "selected-large-usam_ours"),
    ]
    assert len(set(places)) == len(places)
    assert [str(path) for path in places[:4]] == [
        "cache/objects/val.zarr",
        "cache/features/val/tiny/identity.zarr",
        "cache/masks/val/tiny/identity.zarr",
        "cache/entropy/val.zarr",
    ]
    assert str(places[-1]) == "results/gates/val/selected-large-usam_ours.json"
    for untracked in (paths.POOL, paths.WORK):
        assert not any(path.is_relative_to(untracked) for path in places)
