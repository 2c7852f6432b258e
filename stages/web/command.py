"""``usam demo``: serves the web page."""

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stages.predictor.command_options import Host, ModelOptions, Port, with_records
from stages.predictor.stored_images import signature_of
from stages.program.main import reported_errors
from stages.settings.params import read_params
from stages.settings.parsing import PARAMS_FILE, ParamsError
from storage.images.videos import address_in

PORT: Final = 8765


@with_records
def demo(
    *,
    port: Port = PORT,
    host: Host = "127.0.0.1",
    model_options: ModelOptions,
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
            embeddings = model_options.embeddings or []
            if images and not embeddings:
                raise ParamsError("--images must come with --embeddings, got it alone")
            signature = signature_of(embeddings[0]) if embeddings else {}
            model = model_options.model or signature.get("model")
            page = PageState(
                replace(model_options, model=model), images=images or _images_of(signature)
            )
            print(f"loading {page.model}", flush=True)
            page.warm_up()
            for choice in page.models.choices.values():
                if choice.no_heads:
                    print(f"note: {choice.no_heads}", file=sys.stderr)
            print(f"open {endpoint.address}, end with Ctrl-C", flush=True)
            serve(page, endpoint)


def _images_of(signature: Mapping[str, Any]) -> str | None:
    """Folder or address of a split's images, from params.yaml; None for other stores."""
    splits = read_params().splits if PARAMS_FILE.exists() else {}
    split = splits.get(signature.get("split", ""))
    return None if split is None else address_in(Path(split.images)) or split.images
