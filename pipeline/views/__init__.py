"""Views: an image under one augmentation."""

from typing import Final

from pipeline.views.view import (
    View,
    apply_view,
    default_view,
    entropy_views,
    map_points,
    parse_view,
    unview,
    view_order,
)

__all__: Final = [
    "View",
    "apply_view",
    "default_view",
    "entropy_views",
    "map_points",
    "parse_view",
    "unview",
    "view_order",
]
