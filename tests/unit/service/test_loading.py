import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import DigestMismatch, SignatureMismatch
from contract.manifest import MANIFEST_FILE, ModelManifest, read_manifest, sha256_digest
from contract.quality import Limit, QualityLimits
from service.domain import CPU, Outputs, ServedModel
from service.errors import InferenceFailed, ProblemType, StartError
from service.loading import ModelLoader
from service.machine import Provider, gains_by_int8
from service.repository import ModelRepository
from service.settings import read_settings
from tests.bundles import add_variant, make_manifest, write_bundle, write_segmenter_bundle
from tests.gated_session import GatedSession, outputs_of
from tests.refusals import refused


class RecordingSession:
    """A session that remembers the shapes that it was run with."""

    provider = CPU

    def __init__(self, model: bytes, _: ModelManifest, _provider: Provider, _limit: int) -> None:
        self.model = model
        self.shapes: list[tuple[int, ...]] = []

    def run(self, outputs: Sequence[str], images: NDArray[np.uint8]) -> Outputs:
        self.shapes.append(images.shape)
        return outputs_of(outputs, np.zeros((len(images), 2), np.float32))


class OnAnAccelerator(RecordingSession):
    provider = "CUDAExecutionProvider"


def loader(folder: Path, open_session: type[RecordingSession], **settings: str) -> ModelLoader:
    return ModelLoader(read_settings(models_dir=folder, **settings), open_session)


def load(folder: Path, precision: str = "fp32") -> ModelRepository:
    return loader(folder, RecordingSession, precision=precision).load_all()


def session_of(model: ServedModel) -> RecordingSession:
    assert isinstance(model.session, RecordingSession)
    return model.session


def test_every_bundle_is_loaded_and_warmed(tmp_path: Path) -> None:
    write_bundle(tmp_path, "a", 1)
    write_bundle(tmp_path, "a", 2)
    write_bundle(tmp_path, "b", 1, size=64)
    (tmp_path / "__init__.py").touch()
    (tmp_path / "b" / ".2.partial").mkdir()

    repository = load(tmp_path)

    assert [model.bundle for model in repository.all()] == ["a/1", "a/2", "b/1"]
    session = session_of(repository.get("b"))
    assert session.shapes[0] == (1, 64, 64, 1)
    assert {shape[1:] for shape in session.shapes} == {(64, 64, 1)}


def test_the_wanted_precision_is_opened_and_told_unless_its_file_has_changed(
    tmp_path: Path,
) -> None:
    bundle = write_bundle(tmp_path)
    reduced = add_variant(bundle, "int8")

    model = load(tmp_path, "int8").get()

    assert session_of(model).model == reduced
    assert (model.precision, model.digest) == ("int8", sha256_digest(reduced))
    (bundle / "model.int8.onnx").write_bytes(reduced[:-1] + b"?")
    assert load(tmp_path).get().precision == "fp32"
    with pytest.raises(DigestMismatch, match=r"model\.int8\.onnx"):
        load(tmp_path, "int8")


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx512_vnni", "int8"), ("fpu avx_vnni sse", "int8"), ("fpu avx512f", "fp32")],
)
def test_the_flags_of_the_cpu_choose_the_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, precision: str
) -> None:
    add_variant(write_bundle(tmp_path), "int8")
    write_bundle(tmp_path, "without", 1)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: a CPU\nflags\t\t: {flags}\n\nflags\t\t: {flags}\n")
    monkeypatch.setattr("service.loading.gains_by_int8", lambda: gains_by_int8(cpuinfo))

    repository = load(tmp_path, "auto")

    assert repository.get("tiny").precision == precision
    assert repository.get("without").precision == "fp32"


def test_on_an_accelerator_auto_is_fp32_in_every_size_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_variant(write_bundle(tmp_path), "int8")
    monkeypatch.setattr("service.loading.gains_by_int8", lambda: True)

    model = loader(tmp_path, OnAnAccelerator).load_all().get()

    assert model.precision == "fp32"
    assert {shape[0] for shape in session_of(model).shapes} == {1, 2, 4, 8, 16, 32}


def test_limits_of_quality_need_a_graph_that_measures_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    limits = QualityLimits(limits=(Limit(check="contrast", lower=0.05),))
    limited = read_manifest(bundle).model_copy(update={"quality": limits})
    (bundle / MANIFEST_FILE).write_text(limited.model_dump_json())

    with pytest.raises(SignatureMismatch, match="quality"):
        load(tmp_path)


def test_of_several_segmenters_the_first_name_serves_in_its_latest_version_on_the_cpu(
    tmp_path: Path,
) -> None:
    for name, version in (("lungs", 2), ("lungs", 10), ("more-lungs", 11)):
        write_segmenter_bundle(tmp_path, name, version)

    segmenter = loader(tmp_path, RecordingSession, provider="cuda").load_segmenter(None)

    assert segmenter is not None
    assert (segmenter.bundle, segmenter.session.provider) == ("lungs/10", CPU)


def test_a_segmenter_is_run_once_before_it_serves(tmp_path: Path) -> None:
    write_segmenter_bundle(tmp_path, fails_on=0)

    with pytest.raises(InferenceFailed):
        loader(tmp_path, RecordingSession).load_segmenter(None)


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
