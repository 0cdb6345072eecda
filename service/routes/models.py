"""What is served: labels, operating points, metrics, intended use, provenance."""

from fastapi import APIRouter, Depends, Request

from service.auth import Requires
from service.domain import ServedModel
from service.openapi import ONE_MODEL, Name, Version, problem_responses
from service.repository import ModelRepository
from service.runtime import runtime_of
from service.schemas import ModelDescription, ModelList, ModelVersions

router = APIRouter(prefix="/models", tags=["models"], dependencies=[Depends(Requires("read"))])


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


def _repository(request: Request) -> ModelRepository:
    return runtime_of(request).predictor().repository
