from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.errors import DigestMismatch, InvalidManifest, SignatureMismatch
from contract.manifest import MANIFEST_FILE, ModelManifest, read_manifest, sha256_digest
from contract.quality import Limit, QualityLimits
from service.errors import NoModel, UnknownModel
from service.repository import (
    ModelRepository,
    OpenSession,
    ServedModel,
    WantedPrecision,
    gains_by_int8,
    load_model,
    load_repository,
)
from service.session import ModelOutput
from tests.bundles import add_variant, make_manifest, write_bundle


class RecordingSession:
    """A session that remembers the shapes that it was run with."""

    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images: NDArray[np.uint8], *, activation_map: bool = False) -> ModelOutput:
        self.shapes.append(images.shape)
        maps = np.zeros((len(images), 4, 4, 2), np.float32) if activation_map else None
        return ModelOutput(np.zeros((len(images), 2), np.float32), maps)


def opened(_model: bytes, _manifest: ModelManifest) -> RecordingSession:
    return RecordingSession()


def served(name: str, version: int, modalities: tuple[str, ...] = ("DX",)) -> ServedModel:
    manifest = make_manifest("sha256:" + 64 * "0", name, version, modalities=modalities)
    return ServedModel(manifest, RecordingSession())


def load(
    folder: Path, open_session: OpenSession = opened, precision: WantedPrecision = "fp32"
) -> ModelRepository:
    return load_repository(
        folder, partial(load_model, open_session=open_session, precision=precision)
    )


@pytest.fixture
def repository() -> ModelRepository:
    return ModelRepository(
        {
            "xray": {2: served("xray", 2), 10: served("xray", 10), 1: served("xray", 1)},
            "ct": {3: served("ct", 3, ("CT",))},
        }
    )


def identity(model: ServedModel) -> tuple[str, int]:
    return model.manifest.name, model.manifest.version


def test_the_latest_version_is_the_highest_number(repository: ModelRepository) -> None:
    assert identity(repository.get("xray")) == ("xray", 10)


def test_a_version_is_found(repository: ModelRepository) -> None:
    assert identity(repository.get("xray", 2)) == ("xray", 2)


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

    assert ModelRepository({"a": {1: served("a", 1)}, "wide": {1: wide}}).default == "wide"


def test_of_equals_the_default_is_the_first_in_name_order() -> None:
    assert ModelRepository({name: {1: served(name, 1)} for name in ("b", "a")}).default == "a"


def test_a_default_can_be_configured() -> None:
    models = {"a": {1: served("a", 1)}, "b": {1: served("b", 1)}}

    assert ModelRepository(models, "b").default == "b"
    with pytest.raises(NoModel, match="PNEUMO_DEFAULT_MODEL is c, but the models are a, b"):
        ModelRepository(models, "c")


@pytest.mark.parametrize(
    ("modality", "version", "expected"),
    [
        ("DX", None, ("xray", 10)),
        ("DX", 1, ("xray", 1)),
        ("CT", None, ("ct", 3)),
        ("MR", None, ("xray", 10)),
        (None, None, ("xray", 10)),
    ],
)
def test_the_modality_chooses_the_model(
    repository: ModelRepository,
    modality: str | None,
    version: int | None,
    expected: tuple[str, int],
) -> None:
    assert identity(repository.for_modality(modality, version)) == expected


def test_of_several_models_for_a_modality_the_default_goes_first() -> None:
    models = {"a": {1: served("a", 1)}, "b": {1: served("b", 1)}}

    assert identity(ModelRepository(models, "b").for_modality("DX")) == ("b", 1)


def test_what_is_not_there_is_unknown(repository: ModelRepository) -> None:
    with pytest.raises(UnknownModel, match=r"no model of that name\. There are: ct, xray"):
        repository.get("mri")
    with pytest.raises(UnknownModel, match=r"no such version of this model\. There are: 1, 2, 10"):
        repository.get("xray", 9)
    with pytest.raises(UnknownModel):
        repository.versions("mri")


def test_every_bundle_is_loaded_and_warmed(tmp_path: Path) -> None:
    write_bundle(tmp_path, "a", 1)
    write_bundle(tmp_path, "a", 2)
    write_bundle(tmp_path, "b", 1, size=64)
    (tmp_path / "__init__.py").touch()
    (tmp_path / "b" / ".2.partial").mkdir()

    repository = load(tmp_path)

    assert [identity(model) for model in repository.all()] == [("a", 1), ("a", 2), ("b", 1)]
    session = repository.get("b").session
    assert isinstance(session, RecordingSession)
    assert session.shapes[0] == (1, 64, 64, 1)
    assert {shape[1:] for shape in session.shapes} == {(64, 64, 1)}


def test_an_empty_folder_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(NoModel):
        load(tmp_path)


def test_a_changed_model_is_not_opened(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    (bundle / "model.onnx").write_bytes(b"another")

    with pytest.raises(DigestMismatch):
        load(tmp_path)


def test_the_wanted_precision_is_opened_and_told(tmp_path: Path) -> None:
    reduced = add_variant(write_bundle(tmp_path), "int8")
    seen = []

    def opening(model: bytes, manifest: ModelManifest) -> RecordingSession:
        seen.append(model)
        return opened(model, manifest)

    model = load(tmp_path, opening, "int8").get()

    assert seen == [reduced]
    assert (model.precision, model.digest) == ("int8", sha256_digest(reduced))


def test_a_bundle_without_the_wanted_precision_is_served_in_fp32(tmp_path: Path) -> None:
    add_variant(write_bundle(tmp_path), "int8")

    model = load(tmp_path, precision="fp16").get()

    assert (model.precision, model.digest) == ("fp32", model.manifest.digest)


def test_a_changed_file_of_another_precision_is_not_opened(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    changed = bytearray(add_variant(bundle, "int8"))
    changed[-1] ^= 1
    (bundle / "model.int8.onnx").write_bytes(changed)

    assert load(tmp_path).get().precision == "fp32"
    with pytest.raises(DigestMismatch, match=r"model\.int8\.onnx"):
        load(tmp_path, precision="int8")


def test_a_bundle_must_lie_where_its_manifest_says(tmp_path: Path) -> None:
    write_bundle(tmp_path, "tiny", 1).rename(tmp_path / "tiny" / "4")

    with pytest.raises(InvalidManifest, match=r"tiny/4 holds tiny version 1\. Rename the folder"):
        load(tmp_path)


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
    monkeypatch.setattr("service.repository.gains_by_int8", lambda: gains_by_int8(cpuinfo))

    repository = load(tmp_path, precision="auto")

    assert repository.get("tiny").precision == precision
    assert repository.get("without").precision == "fp32"


def test_a_machine_that_names_no_flags_runs_fp32(tmp_path: Path) -> None:
    assert not gains_by_int8(tmp_path / "nothing")


def test_on_an_accelerator_auto_is_fp32_in_every_size_of_a_batch(tmp_path: Path) -> None:
    class OnAnAccelerator(RecordingSession):
        provider = "CUDAExecutionProvider"

    add_variant(write_bundle(tmp_path), "int8")

    model = load(tmp_path, lambda _model, _manifest: OnAnAccelerator(), "auto").get()

    assert model.precision == "fp32"
    assert isinstance(model.session, OnAnAccelerator)
    assert {shape[0] for shape in model.session.shapes} == {1, 2, 4, 8, 16, 32}


def test_on_the_cpu_there_is_a_session_for_a_lone_image(tmp_path: Path) -> None:
    write_bundle(tmp_path)

    model = load_model(tmp_path / "tiny" / "1", opened, open_lone=opened)

    assert model.lone is not None
    assert model.lone is not model.session


def test_limits_of_quality_need_a_graph_that_measures_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    limits = QualityLimits(limits=(Limit(check="contrast", lower=0.05),))
    limited = read_manifest(bundle).model_copy(update={"quality": limits})
    (bundle / MANIFEST_FILE).write_text(limited.model_dump_json())

    with pytest.raises(SignatureMismatch, match="quality"):
        load_model(bundle, opened)
