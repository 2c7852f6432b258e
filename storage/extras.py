"""Modules of optional dependencies (extras of ``pyproject.toml``), and how to install each.

Imports only the standard library, since it must work where little is installed.
"""

from collections.abc import Mapping
from typing import Final

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "predict": (
        *("PIL", "cv2", "jinja2", "markupsafe", "numba"),
        *(
            "pycocotools",
            "pydantic",
            "pydantic_core",
            "requests",
            "rich",
            "ruamel",
            "safetensors",
            "sam2",
            "torch",
            "typer",
        ),
    ),
    "stages": (
        *("ConfigSpace", "dask", "dask_jobqueue", "distributed", "joblib", "matplotlib"),
        *("scipy", "sklearn", "smac", "threadpoolctl"),
    ),
    "dashboard": ("bokeh", "prometheus_client"),
    "hf": ("timm", "transformers"),
    "demo": ("fastapi", "h11", "starlette", "uvicorn"),
    "cvat": ("cvat_sdk",),
    "dvc": ("dvc", "platformdirs", "scmrepo"),
    "s3": ("boto3", "botocore", "obstore"),
}
"""Optional modules by the smallest extra that installs them; reading a store on disk needs none."""

WITHOUT_EXTRA: Final = ("huggingface_hub",)
"""Modules that no extra installs; the package of each has the module's name."""


def absent(module: str) -> str | None:
    """Message that says how to install a module; whether it is installed is not checked.

    None for a module that is neither in ``EXTRAS`` nor in ``WITHOUT_EXTRA``.

    >>> absent("torch.nn")
    "torch must be installed, got none: pip install 'usam-cache[predict]'"
    >>> absent("huggingface_hub")
    'huggingface_hub must be installed, got none: pip install huggingface_hub'
    >>> absent("numpy") is None
    True
    """
    top = module.partition(".")[0]
    if top in WITHOUT_EXTRA:
        return f"{top} must be installed, got none: pip install {top}"
    for extra, modules in EXTRAS.items():
        if top in modules:
            return f"{top} must be installed, got none: pip install 'usam-cache[{extra}]'"
    return None
