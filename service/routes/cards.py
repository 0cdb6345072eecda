"""A model's own documents: its card, and the plots of its evaluation."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from contract.manifest import CARD_FILE, FIGURES
from service.auth import Requires
from service.openapi import ONE_MODEL, Name, Version
from service.runtime import runtime_of

router = APIRouter(
    prefix="/models/{name}/versions/{version}",
    tags=["models"],
    dependencies=[Depends(Requires("read"))],
)


class FigureList(BaseModel):
    """The plots of one version of one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    figures: list[str]


class Markdown(Response):
    """A text in Markdown."""

    media_type = "text/markdown; charset=utf-8"


class Png(Response):
    """A picture."""

    media_type = "image/png"


@router.get("/card", summary="The model card", response_class=Markdown, responses=ONE_MODEL)
async def get_card(request: Request, name: Name, version: Version) -> Response:
    """Serve the card: what the model is for, how it was measured, and where it fails."""
    card = _bundle(request, name, version) / CARD_FILE
    try:
        return Markdown(await asyncio.to_thread(card.read_bytes))
    except OSError as error:
        raise HTTPException(404) from error


@router.get("/figures", summary="The names of the model's plots", responses=ONE_MODEL)
async def list_figures(request: Request, name: Name, version: Version) -> FigureList:
    """List the plots of the evaluation; none where the model came without."""
    figures = await asyncio.to_thread(_figures, _bundle(request, name, version))
    return FigureList(figures=list(figures))


@router.get(
    "/figures/{figure}",
    summary="A plot",
    response_class=Png,
    responses={
        200: {"content": {Png.media_type: {"schema": {"type": "string", "format": "binary"}}}},
        **ONE_MODEL,
    },
)
async def get_figure(
    request: Request,
    name: Name,
    version: Version,
    figure: Annotated[str, PathParameter(min_length=1, max_length=128, description="As listed.")],
) -> Response:
    """Serve a plot of the evaluation."""
    figures = await asyncio.to_thread(_figures, _bundle(request, name, version))
    file = figures.get(figure)
    if file is None:
        raise HTTPException(404)
    return Png(await asyncio.to_thread(file.read_bytes))


def _bundle(request: Request, name: str, version: int) -> Path:
    """The folder of a served model; a name or version that is not served names no folder."""
    runtime = runtime_of(request)
    return runtime.settings.models_dir / runtime.predictor().repository.get(name, version).bundle


def _figures(bundle: Path) -> Mapping[str, Path]:
    """The plots by file name. Only what is listed is ever read, and no link is followed."""
    return {
        file.name: file
        for file in sorted((bundle / FIGURES).glob("*.png"))
        if file.is_file() and not file.is_symlink()
    }
