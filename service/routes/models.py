"""What is served: labels, operating points, metrics, provenance; and each model's own documents."""

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
from service.domain import ServedModel
from service.openapi import ONE_MODEL, Name, Version, problem_responses
from service.repository import ModelRepository
from service.runtime import runtime_of
from service.schemas import ModelDescription, ModelList, ModelVersions

_may_read = [Depends(Requires("read"))]
router = APIRouter(prefix="/models", tags=["models"], dependencies=_may_read)
documents = APIRouter(
    prefix="/models/{name}/versions/{version}", tags=["models"], dependencies=_may_read
)


@router.get("", summary="All models", responses=problem_responses(401, 403, 503))
async def list_models(request: Request) -> ModelList:
    """Describe every version of every model."""
    repository = _repository(request)
    models = [_describe(model) for model in repository.all()]
    return ModelList(default=repository.default, models=models)


@router.get("/{name}", summary="One model", responses=ONE_MODEL)
async def get_model(request: Request, name: Name) -> ModelVersions:
    """Describe every version of one model."""
    versions = [_describe(model) for model in _repository(request).versions(name)]
    return ModelVersions(name=name, latest=versions[-1].version, versions=versions)


@router.get("/{name}/versions/{version}", summary="One version of one model", responses=ONE_MODEL)
async def get_version(request: Request, name: Name, version: Version) -> ModelDescription:
    """Describe one version of one model."""
    return _describe(_repository(request).get(name, version))


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


@documents.get("/card", summary="The model card", response_class=Markdown, responses=ONE_MODEL)
async def get_card(request: Request, name: Name, version: Version) -> Response:
    """Serve the card: what the model is for, how it was measured, and where it fails."""
    card = _bundle(request, name, version) / CARD_FILE
    try:
        return Markdown(await asyncio.to_thread(card.read_bytes))
    except OSError as error:
        raise HTTPException(404) from error


@documents.get("/figures", summary="The names of the model's plots", responses=ONE_MODEL)
async def list_figures(request: Request, name: Name, version: Version) -> FigureList:
    """List the plots of the evaluation; none where the model came without."""
    figures = await asyncio.to_thread(_figures, _bundle(request, name, version))
    return FigureList(figures=list(figures))


@documents.get(
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
    if figure not in figures:
        raise HTTPException(404)
    return Png(await asyncio.to_thread(figures[figure].read_bytes))


def _repository(request: Request) -> ModelRepository:
    return runtime_of(request).predictor().repository


def _describe(model: ServedModel) -> ModelDescription:
    """Pick from a manifest what a caller may want to know."""
    manifest = model.manifest
    own = {
        "digest": model.digest,
        "height": manifest.preprocessing.height,
        "width": manifest.preprocessing.width,
        "dataset": manifest.provenance.dataset,
        "licence": manifest.provenance.licence,
        "trained_at": manifest.provenance.trained_at,
        "execution_provider": model.session.provider,
        "precision": model.precision,
    }
    told = {name: getattr(manifest, name) for name in ModelDescription.model_fields.keys() - own}
    return ModelDescription.model_validate(told | own)


def _bundle(request: Request, name: str, version: int) -> Path:
    """The folder of a served model; a name or version that is not served names no folder."""
    model = _repository(request).get(name, version)
    return runtime_of(request).settings.models_dir / model.bundle


def _figures(bundle: Path) -> Mapping[str, Path]:
    """The plots by file name. Only what is listed is ever read, and no link is followed."""
    return {
        file.name: file
        for file in sorted((bundle / FIGURES).glob("*.png"))
        if file.is_file() and not file.is_symlink()
    }
