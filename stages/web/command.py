"""``usam demo``: serves the web page."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pipeline.sam.families import FAMILIES
from stages.cli import predictor_options
from stages.predictor.stored_images import signature_of
from stages.program.main import reported_errors
from stages.settings.params import PARAMS_FILE, read_params
from stages.settings.parsing import ParamsError, check_known
from storage.checkpoints.weights import models_there
from storage.head_files.head_file import SHIPPED_FAMILY
from storage.images.videos import address_in

PORT: Final = 8765


def demo(  # noqa: PLR0913, PLR0917 - one for each option
    port: predictor_options.Port = PORT,
    host: predictor_options.Host = "127.0.0.1",
    family: predictor_options.Family = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model to start with; by default the smallest available."),
    ] = None,
    heads: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="From `usam heads export`; may be repeated."),
    ] = None,
    device: predictor_options.Device = "auto",
    precision: predictor_options.Precision = None,
    embeddings: predictor_options.Embeddings = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder or address of the images of --embeddings; of a split, params.yaml has it.",
        ),
    ] = None,
) -> None:
    """Serve a web page to click on images: your own, drawn ones, or those of embeddings."""
    with reported_errors():
        from stages.web.page_state import PageState  # noqa: PLC0415
        from stages.web.server import open_endpoint, serve  # noqa: PLC0415

        endpoint = open_endpoint(host, port)
        with closing(endpoint.listener):
            if images and not embeddings:
                raise ParamsError("--images must come with --embeddings, got it alone")
            signature = signature_of(embeddings[0]) if embeddings else {}
            family = family or signature.get("family", SHIPPED_FAMILY)
            check_known("family", family, FAMILIES)
            model = model or signature.get("model")
            # Only PageState finds out which models the user's heads learned from.
            installed = () if heads else models_there(family)
            print(f"loading {model or next(iter(installed), family)}", flush=True)
            page = PageState(
                model=model,
                heads=heads or (),
                family=family,
                device=device,
                precision=precision,
                embeddings=embeddings or (),
                images=images or _images_of(signature),
            )
            print(f"open {endpoint.address}, end with Ctrl-C", flush=True)
            serve(page, endpoint)


def _images_of(signature: Mapping[str, Any]) -> str | None:
    """Folder or address of a split's images, from params.yaml; None for other stores."""
    splits = read_params().splits if PARAMS_FILE.exists() else {}
    split = splits.get(signature.get("split", ""))
    return None if split is None else address_in(Path(split.images)) or split.images
