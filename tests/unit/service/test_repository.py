import threading
from dataclasses import replace

import pytest

from service.domain import ServedModel
from service.errors import ProblemType, StartError
from service.repository import ModelRepository
from tests.bundles import make_manifest
from tests.gated_session import GatedSession
from tests.refusals import refused


def served(name: str, version: int, modalities: tuple[str, ...] = ("DX",)) -> ServedModel:
    manifest = make_manifest("sha256:" + 64 * "0", name, version, modalities=modalities)
    return ServedModel(manifest, GatedSession(threading.Event()))


@pytest.fixture
def repository() -> ModelRepository:
    versions = (served("xray", version) for version in (2, 10, 1))
    return ModelRepository([*versions, served("ct", 3, ("CT",))])


def identity(model: ServedModel) -> tuple[str, int]:
    return model.manifest.name, model.manifest.version


def test_all_models_come_in_order(repository: ModelRepository) -> None:
    assert [identity(model) for model in repository.all()] == [
        ("ct", 3),
        ("xray", 1),
        ("xray", 2),
        ("xray", 10),
    ]


def test_the_default_takes_radiographs(repository: ModelRepository) -> None:
    assert repository.default == "xray"
    assert identity(repository.get()) == ("xray", 10)


def test_the_default_has_the_most_findings() -> None:
    wide = served("wide", 1)
    finding = wide.manifest.findings[0].model_copy(update={"label": "tuberculosis"})
    findings = (*wide.manifest.findings, finding)
    wide = replace(wide, manifest=wide.manifest.model_copy(update={"findings": findings}))

    assert ModelRepository([served("a", 1), wide]).default == "wide"


def test_of_equals_the_default_is_the_first_in_name_order() -> None:
    assert ModelRepository([served(name, 1) for name in ("b", "a")]).default == "a"


def test_a_default_can_be_configured() -> None:
    models = [served("a", 1), served("b", 1)]

    assert ModelRepository(models, "b").default == "b"
    with pytest.raises(StartError, match="PNEUMO_DEFAULT_MODEL is c, but the models are a, b"):
        ModelRepository(models, "c")


def test_of_several_models_for_a_modality_the_default_goes_first() -> None:
    models = [served("a", 1), served("b", 1)]

    assert identity(ModelRepository(models, "b").for_modality("DX")) == ("b", 1)


def test_what_is_not_there_is_unknown(repository: ModelRepository) -> None:
    with refused(ProblemType.UNKNOWN_MODEL, match=r"no model of that name\. There are: ct, xray"):
        repository.get("mri")
    with refused(
        ProblemType.UNKNOWN_MODEL, match=r"no such version of this model\. There are: 1, 2, 10"
    ):
        repository.get("xray", 9)
    with refused(ProblemType.UNKNOWN_MODEL):
        repository.versions("mri")
