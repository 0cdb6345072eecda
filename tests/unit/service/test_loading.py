from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import DigestMismatch, SignatureMismatch
from contract.manifest import sha256_digest
from contract.quality import Limit, QualityLimits
from service.domain import CPU, ServedModel
from service.errors import InferenceFailed, ProblemType, StartError
from service.loading import ModelLoader
from service.machine import gains_by_int8
from service.repository import ModelRepository
from service.settings import read_settings
from tests.bundles import add_variant, describe, make_manifest, write_bundle, write_segmenter_bundle
from tests.refusals import refused
from tests.sessions import FakeSession, running


class RecordingSession(FakeSession):
    """Remembers its graph."""

    runs_on = CPU

    def __init__(self, model: bytes, *_: object) -> None:
        super().__init__(provider=self.runs_on)
        self.go.set()
        self.model = model


class OnAnAccelerator(RecordingSession):
    runs_on = "CUDAExecutionProvider"


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
    describe(bundle, quality=limits)

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


def served(name: str, version: int = 1, modalities: tuple[str, ...] = ("DX",)) -> ServedModel:
    manifest = make_manifest("sha256:" + 64 * "0", name, version, modalities=modalities)
    return ServedModel(manifest, running())


def identities(*models: ServedModel) -> list[str]:
    return [model.bundle for model in models]


def test_models_are_in_order_and_what_is_not_there_is_unknown() -> None:
    versions = (served("xray", version) for version in (2, 10, 1))
    repository = ModelRepository([*versions, served("ct", 3, ("CT",))])

    assert identities(*repository.all()) == ["ct/3", "xray/1", "xray/2", "xray/10"]
    assert identities(repository.get()) == ["xray/10"]
    with refused(ProblemType.UNKNOWN_MODEL, match=r"no model of that name\. There are: ct, xray"):
        repository.get("mri")
    with refused(
        ProblemType.UNKNOWN_MODEL, match=r"no such version of this model\. There are: 1, 2, 10"
    ):
        repository.get("xray", 9)


def test_the_default_takes_radiographs_has_most_findings_or_is_configured() -> None:
    wide = served("wide")
    finding = wide.manifest.findings[0].model_copy(update={"label": "tuberculosis"})
    findings = (*wide.manifest.findings, finding)
    wide = replace(wide, manifest=wide.manifest.model_copy(update={"findings": findings}))
    a, b = served("a"), served("b")

    assert ModelRepository([served("a", 1, ("CT",)), b]).default == "b"
    assert ModelRepository([a, wide]).default == "wide"
    assert ModelRepository([b, a]).default == "a"
    assert ModelRepository([a, b], "b").default == "b"
    assert identities(ModelRepository([a, b], "b").for_modality("DX")) == ["b/1"]
    with pytest.raises(StartError, match="PNEUMO_DEFAULT_MODEL is c, but the models are a, b"):
        ModelRepository([a, b], "c")
