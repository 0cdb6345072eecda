"""A site commissions a model through the command, with real graphs and drawn images."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from commissioning.cli import DEFAULT_BACKBONE, NOT_FIT, app
from commissioning.graph import EMBEDDING, Backbone, measurement_graph
from contract.golden import read_golden
from contract.manifest import MODEL_FILE, read_manifest, read_verified_model
from service.settings import Settings
from tests.bundles import SIZE, write_bundle, write_segmenter_bundle
from tests.integration.live import serving
from tests.synthetic import as_dicom, as_png

Draw = Callable[[np.random.Generator, bool], NDArray[np.uint8]]
CELLS = 4
SITE = {
    "name": "Here", "commissioned_at": "2026-01-01T00:00:00Z", "base_version": 1, "features": "x",
    "change": "local head", "verdict": "refer only", "images": {"normal": 1, "pneumonia": 1},
    "patients": 2, "auroc": [0.7, 0.6, 0.8], "accuracy": None, "answered": 0.0,
    "labels_digest": "none",
}  # fmt: skip


def _by_brightness(random: np.random.Generator, sick: bool) -> NDArray[np.uint8]:  # noqa: FBT001
    """What the shipped model tells apart."""
    level = (165 if sick else 90) + random.normal(0, 12)
    return random.normal(level, 20, (SIZE, SIZE)).clip(0, 255).astype(np.uint8)


def _by_place(random: np.random.Generator, sick: bool) -> NDArray[np.uint8]:  # noqa: FBT001
    """What it does not: equally bright, with a patch on one side or on the other."""
    image = random.normal(110, 20, (SIZE, SIZE))
    side = slice(4, 12) if sick else slice(20, 28)
    image[8:24, side] += random.normal(60, 25)
    return image.clip(0, 255).astype(np.uint8)


def _site(folder: Path, draw: Draw, patients: int, truth: list[str] | None = None) -> Path:
    """Two images of each patient and the table of their findings."""
    random = np.random.default_rng(7)
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "finding", "patient", "view"])
        for i in range(2 * patients):
            patient = i // 2
            name, sick = f"{i}.png", patient % 2 == 1
            Image.fromarray(draw(random, sick)).save(folder / name)
            finding = truth[patient] if truth else ("pneumonia" if sick else "normal")
            table.writerow([name, finding, f"p{patient}", "AP" if random.random() < 0.5 else "PA"])
    return folder


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """A feature graph with a pooled embedding: the means of four by four cells."""
    shape, cells = [SIZE // CELLS] * 2, CELLS * CELLS
    text = f"""<ir_version: 10, opset_import: ["": 18]>
        cells (float[n, 1, {SIZE}, {SIZE}] pixels) => (float[n, {cells}] embedding)
        <int64[2] flat = {{-1, {cells}}}> {{
            pooled = AveragePool <kernel_shape = {shape}, strides = {shape}> (pixels)
            embedding = Reshape (pooled, flat)
        }}"""
    file = tmp_path / "cells.onnx"
    onnx.save(onnx.parser.parse_model(text), file)
    return file


def _commission(models: Path, site: Path, backbone: Path, *more: str) -> Result:
    options = {
        "model": "tiny", "models": models, "images": site, "labels": site / "labels.csv",
        "site": "Here", "workdir": site / "report", "backbone": backbone, "scale": 255,
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return CliRunner().invoke(app, [*arguments, *more])


def _said(result: Result) -> str:
    """The output without its line breaks."""
    return " ".join(result.output.split())


def test_a_site_that_it_does_not_read_gets_a_head_of_its_own(
    tmp_path: Path, backbone: Path
) -> None:
    write_bundle(tmp_path / "models", ood_limit=1.5)
    site = _site(tmp_path / "site", _by_place, patients=80)

    done = _commission(tmp_path / "models", site, backbone)

    assert done.exit_code == 0, done.output
    bundle = tmp_path / "models" / "tiny" / "2"
    manifest = read_manifest(bundle)
    assert manifest.site is not None
    assert manifest.site.change == "local head"
    assert manifest.site.images == {"normal": 80, "pneumonia": 80}
    session = onnxruntime.InferenceSession(read_verified_model(bundle, manifest))
    assert {o.name for o in session.get_outputs()} == {o.name for o in manifest.signature.outputs}
    random = np.random.default_rng(99)
    images = np.stack([_by_place(random, sick)[..., np.newaxis] for sick in (False, True) * 20])
    probabilities, maps, logits, scores = session.run(
        ["probabilities", "activation_map", "logits", "ood_score"], {"image": images}
    )
    assert (probabilities.argmax(1) == np.tile([0, 1], 20)).mean() >= 0.9
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), logits, atol=1e-4)
    assert (scores <= 1).mean() >= 0.8
    noise = random.integers(0, 255, (1, SIZE, SIZE, 1)).astype(np.uint8) // 200 * 255
    assert session.run(["ood_score"], {"image": noise.astype(np.uint8)})[0][0] > 1
    report = (site / "report" / "report.html").read_text()
    assert report.count("FIT TO ANSWER HERE") == 1
    assert "Judged: tiny version 1, sha256:" in report
    assert f"Written: version 2</b>, {manifest.digest}; change: local head" in report
    assert (site / "report" / "report.pdf").read_bytes().startswith(b"%PDF")


def test_what_the_service_would_refuse_is_set_aside_and_named(
    tmp_path: Path, backbone: Path
) -> None:
    write_bundle(tmp_path / "models")
    site = _site(tmp_path / "site", _by_brightness, patients=40)
    (site / "side.dcm").write_bytes(as_dicom(np.full((64, 64), 200, np.uint8), ViewPosition="LL"))
    (site / "torn.png").write_bytes((site / "0.png").read_bytes()[:60])
    (site / "copy.png").write_bytes((site / "0.png").read_bytes())
    (site / "told.png").write_bytes(as_png(np.full((SIZE, SIZE), 200, np.uint8)))
    with (site / "labels.csv").open("a", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ["side.dcm", "pneumonia", "p90", ""],
                ["torn.png", "normal", "p91", ""],
                ["copy.png", "normal", "p0", ""],
                ["told.png", "pneumonia", "p92", "lateral"],
            ]
        )

    done = _commission(tmp_path / "models", site, backbone)

    assert done.exit_code == 0, done.output
    report = (site / "report" / "report.html").read_text()
    for text in (_said(done), report):
        assert "4 set aside" in text
        assert "1: The view is lateral, as View Position says; tiny takes frontal ones" in text
        assert "1: The view is lateral or oblique, as the label table says" in text
        assert "1: It is a copy of another image" in text
    site_block = read_manifest(tmp_path / "models" / "tiny" / "2").site
    assert site_block is not None
    assert site_block.images == {"normal": 40, "pneumonia": 40}


def test_a_site_that_the_model_reads_keeps_it_as_shipped_and_is_named_by_the_service(
    tmp_path: Path, backbone: Path
) -> None:
    write_bundle(tmp_path / "models")
    site = _site(tmp_path / "site", _by_brightness, patients=80)

    done = _commission(tmp_path / "models", site, backbone)

    assert done.exit_code == 0, done.output
    made = read_manifest(tmp_path / "models" / "tiny" / "2").site
    assert made is not None
    assert (made.change, made.verdict) == ("as shipped", "fit to answer here")
    with serving(Settings(models_dir=tmp_path / "models", port=0, provider="cpu")) as live:
        answer = live.predict((site / "1.png").read_bytes()).json()
        health = live.client.get("/health").json()
        metrics = live.client.get("/metrics").text
    assert answer["model"]["site"] == "Here"
    assert [model.get("site") for model in health["models"]] == [None, "Here"]
    of_model = 'model="tiny",version="2"'
    assert f"pneumoscope_ood_share_count{{{of_model}}} 1.0" in metrics
    # What the site showed stands beside what the service sees.
    reference = made.reference
    assert reference is not None
    assert reference.ood_share[-1] == reference.probability["normal"][-1] == 1
    assert reference.ood_share == tuple(sorted(reference.ood_share))
    shown = f'histogram="probability",label="normal",le="0.5",{of_model}'
    assert f"pneumoscope_site_reference{{{shown}}} {reference.probability['normal'][6]}" in metrics
    shown = f'histogram="ood_share",label="",le="1.0",{of_model}'
    assert f"pneumoscope_site_reference{{{shown}}} {reference.ood_share[6]}" in metrics
    assert f'pneumoscope_probability_bucket{{label="normal",le="0.5",{of_model}}}' in metrics
    assert (tmp_path / "models" / "tiny" / "config.pbtxt").is_file()


def test_the_age_that_gives_the_label_away_is_found_however_it_is_written(
    tmp_path: Path, backbone: Path
) -> None:
    write_bundle(tmp_path / "models")
    site = _site(tmp_path / "site", _by_brightness, patients=40)
    random, ages = np.random.default_rng(4), []
    for i in range(80):
        age = random.integers(20, 40) + (40 if i // 2 % 2 else 0)
        ages.append(["unknown", "", f"{age:03}Y", f'"{age},5"', str(age)][min(i, i % 3 + 2)])
    rows = (site / "labels.csv").read_text().splitlines()
    texts = [f"{row},{age}" for row, age in zip(rows, ["age", *ages], strict=True)]
    (site / "labels.csv").write_text("\n".join(texts))

    done = _commission(tmp_path / "models", site, backbone)

    assert "1 ages are not understood" in _said(done)
    report = (site / "report" / "report.html").read_text()
    found = re.search(r"<td>age</td><td>([\d.]+) \(([\d.]+) to", report)
    assert found is not None
    assert float(found[1]) >= 0.98
    # No surer than twenty patients of each can be.
    assert float(found[2]) == 0.83
    # The bands have one finding each, so no AUROC.
    assert "<td>age 20" not in report


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (["--floor", "85"], 2, "less than or equal to 1"),
        (["--floor-auroc", "-1"], 2, "greater than or equal to 0"),
        (["--mean", "abc"], 2, "Give one number"),
        (["--site", ""], 2, "letters or digits"),
        (["--site", "a\nb"], 2, "printable"),
        (["--mean", "1,2"], 1, "Mean and scale are one number"),
        (["--backbone", "junk[red].onnx"], 1, "junk[red].onnx is no ONNX graph"),
        (["--backbone", "mask.onnx"], 1, "It gives [32, 32, 1]"),
        (["--model", "none"], 1, "There is no model 'none' in models; there are tiny."),
        (["--model", "lungs"], 1, "lungs is a segmenter and calls no finding"),
        (["--version", "9"], 1, "tiny has no version 9 here; there are 1, 2."),
        (["--version", "2"], 1, "Version 2 of tiny was made for a site, Here; take version 1"),
    ],
)
def test_what_is_asked_wrongly_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], status: int, said: str,
    backbone: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    mask = write_segmenter_bundle(Path("models")) / MODEL_FILE
    Path("mask.onnx").write_bytes(mask.read_bytes())
    Path("junk[red].onnx").write_bytes(b"junk")
    manifest = read_manifest(write_bundle(Path("models"), version=2))
    changed = manifest.model_dump(mode="json") | {"site": SITE}
    Path("models/tiny/2/manifest.json").write_text(json.dumps(changed))
    write_bundle(Path("models"))
    site = _site(Path("site"), _by_brightness, patients=1)

    done = _commission(Path("models"), site, backbone, *more)

    assert done.exit_code == status, done.output
    words = " ".join(done.output.replace("│", " ").split())
    assert said in words


@pytest.mark.parametrize("name", ["../escape", "<b>A/B", "St. Example"])
def test_a_site_keeps_its_name_and_gets_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle(Path("models"))
    site = _site(Path("site"), _by_brightness, patients=40)
    options = ["--model", "tiny", "--images", site, "--labels", site / "labels.csv"]
    options += ["--backbone", backbone, "--scale", "255", "--site", name]

    done = CliRunner().invoke(app, [str(option) for option in options])

    assert done.exit_code == 0, done.output
    made = read_manifest(Path("models/tiny/2")).site
    assert made is not None
    assert made.name == name
    (folder,) = Path("commissioning-reports").iterdir()
    assert {file.name for file in folder.iterdir()} >= {"report.html", "report.pdf"}


RANDOM = np.random.default_rng(3).permutation(["normal", "pneumonia"] * 40).tolist()
SWAPPED = ["pneumonia", "normal"] * 40


@pytest.mark.parametrize(
    ("patients", "truth", "status", "said"),
    [
        (80, RANDOM, NOT_FIT, "NOT FIT"),
        (80, SWAPPED, NOT_FIT, "swapped"),
        (2, ["normal", "pneumonia"], 1, "28 more images of normal, 9 more patients of normal"),
        (10, ["normal", "pneumonia"] * 5, 1, "20 more images of normal, 5 more patients of normal"),
    ],
    ids=["random labels", "swapped labels", "too few patients", "too few images"],
)
def test_what_earns_no_version_is_named_and_nothing_is_written(
    tmp_path: Path, backbone: Path, patients: int, truth: list[str], status: int, said: str
) -> None:
    write_bundle(tmp_path / "models")
    site = _site(tmp_path / "site", _by_brightness, patients, truth)

    done = _commission(tmp_path / "models", site, backbone)

    assert done.exit_code == status, done.output
    assert said in _said(done)
    assert [folder.name for folder in (tmp_path / "models" / "tiny").iterdir()] == ["1"]
    if status == NOT_FIT:
        assert "Nothing was written." in (site / "report" / "report.html").read_text()


def test_a_second_commissioning_starts_from_the_shipped_version_and_measures_nothing_again(
    tmp_path: Path, backbone: Path
) -> None:
    write_bundle(tmp_path / "models")
    site = _site(tmp_path / "site", _by_brightness, patients=40)
    measured = site / "report" / "measured"
    _commission(tmp_path / "models", site, backbone)
    chunks = {file: file.stat().st_mtime_ns for file in measured.iterdir()}

    done = _commission(tmp_path / "models", site, backbone)

    assert done.exit_code == 0, done.output
    assert len(chunks) == 2
    assert chunks == {file: file.stat().st_mtime_ns for file in measured.iterdir()}
    third = read_manifest(tmp_path / "models" / "tiny" / "3")
    assert third.site is not None
    assert third.site.base_version == 1
    assert "Earlier commissioning" in (site / "report" / "report.html").read_text()


def test_the_shipped_features_merge_into_a_shipped_model() -> None:
    bundle = Path("models/xray-infection/5")
    features = onnx.load(DEFAULT_BACKBONE)
    merged = measurement_graph(
        onnx.load(bundle / MODEL_FILE), Backbone(features, DEFAULT_BACKBONE.name)
    )
    golden = read_golden(bundle, read_manifest(bundle))
    assert golden is not None
    session = onnxruntime.InferenceSession(merged.SerializeToString())
    alone = onnxruntime.InferenceSession(features.SerializeToString())

    embedding, probabilities = session.run([EMBEDDING, "probabilities"], {"image": golden.images})

    np.testing.assert_allclose(probabilities, golden.probabilities["fp32"], atol=1e-4)
    side = alone.get_inputs()[0].shape[1]
    resized = np.stack(
        [np.asarray(Image.fromarray(i[..., 0]).resize((side, side), Image.Resampling.BILINEAR))
         for i in golden.images]
    )  # fmt: skip
    pixels = resized[..., np.newaxis].astype(np.float32)
    expected = alone.run(None, {"image": pixels})[0].mean((1, 2))
    assert np.corrcoef(embedding.ravel(), expected.ravel())[0, 1] > 0.99
