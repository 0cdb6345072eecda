import io
import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from contract.manifest import MANIFEST_FILE, MODEL_FILE, sha256_digest
from service import __version__
from service.audit import AuditTrail
from service.cli import app
from service.logs import make_logger
from tests.bundles import (
    brightness_graph,
    describe,
    write_bundle,
    write_fragile_bundle,
    write_segmenter_bundle,
)

runner = CliRunner()


def changed(bundle: Path) -> None:
    with (bundle / MODEL_FILE).open("ab") as model:
        model.write(b"\0")


def replace_model(bundle: Path, model: bytes) -> None:
    (bundle / MODEL_FILE).write_bytes(model)
    describe(bundle, digest=sha256_digest(model))


@pytest.mark.parametrize("command", [["run", "--port", "0"], ["check"]])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (changed, "tiny/1/model.onnx has sha256:"),
        (
            lambda bundle: replace_model(bundle, brightness_graph(size=64).SerializeToString()),
            "tiny version 1: the graph's inputs are image uint8 ['batch', 64, 64, 1]",
        ),
        (
            lambda bundle: replace_model(bundle, b"no graph"),
            "tiny version 1: model.onnx cannot be loaded.",
        ),
        (lambda bundle: (bundle / MANIFEST_FILE).unlink(), "tiny/1 has no manifest.json."),
        (lambda bundle: bundle.rename(bundle.with_name("7")), "tiny/7 holds tiny version 1."),
        (
            lambda bundle: bundle.rename(bundle.with_name("not-a-version")),
            "There is no model bundle in PNEUMO_MODELS_DIR.",
        ),
    ],
)
def test_a_bundle_that_cannot_be_used_stops_the_start_with_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], says: str, command: list[str]
) -> None:
    spoil(write_bundle(tmp_path))

    ended = runner.invoke(app, [*command, "--models-dir", str(tmp_path)])

    assert ended.exit_code == 1
    if command[0] == "check":
        assert ended.stderr.startswith(f"pneumo-serve: {says}")
        assert ended.stderr.count("\n") == 1
    else:
        assert why_not_started(ended).startswith(says)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PNEUMO_PORT", "99999", "port: Input should be less than or equal to 65535"),
        ("PNEUMO_MAX_PIXEL", "9", "There is no setting PNEUMO_MAX_PIXEL. Did you mean PNEUMO_MAX_"),
        ("PNEUMO_QUEUE_LIMIT", "3", "settings: Value error, PNEUMO_MAX_FILES must not be larger"),
        ("PNEUMO_DEFAULT_MODEL", "huge", "PNEUMO_DEFAULT_MODEL is huge, but the models are tiny."),
        ("PNEUMO_HOST", "0.0.0.0", "Whoever reaches 0.0.0.0 could use the service"),  # noqa: S104
        (
            "PNEUMO_PROVIDER",
            "cuda",
            "The model cannot run on CUDA: this onnxruntime was built with",
        ),
        ("PNEUMO_API_KEYS_FILE", "/nowhere", "PNEUMO_API_KEYS_FILE cannot be read: No such file"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    write_bundle(tmp_path)
    monkeypatch.setenv(variable, value)

    ended = runner.invoke(app, ["run", "--models-dir", str(tmp_path)])

    assert ended.exit_code == 1
    assert why_not_started(ended).startswith(says)


def why_not_started(ended: Result) -> str:
    """What the last line of the log, a JSON object as every line is, says."""
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    (said,) = [line for line in lines if line["level"] == "error"]
    assert (said, said["event"], ended.stderr) == (lines[-1], "cannot start", "")
    return str(said["reason"])


def test_a_port_that_is_taken_stops_the_start_with_one_line(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = runner.invoke(app, ["run", "--port", port, "--models-dir", str(tmp_path)])

    assert ended.exit_code == 1
    assert why_not_started(ended).startswith(f"Cannot listen on port {port}: Address already in")


def test_the_version_is_told_without_any_model() -> None:
    told = runner.invoke(app, ["--version"])

    assert (told.exit_code, told.stdout) == (0, f"pneumo-serve {__version__}\n")


def test_check_runs_every_model_and_says_where_or_which_fails(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    write_bundle(tmp_path, version=2)
    write_segmenter_bundle(tmp_path)

    ended = runner.invoke(app, ["check", "--models-dir", str(tmp_path)])
    write_fragile_bundle(tmp_path, fails_on=0)
    failed = runner.invoke(app, ["check", "--models-dir", str(tmp_path)])

    assert (failed.exit_code, failed.stderr) == (1, "pneumo-serve: The model did not run.\n")
    assert ended.exit_code == 0
    assert ended.stdout.splitlines() == [
        "tiny version 1: CPUExecutionProvider",
        "tiny version 2: CPUExecutionProvider",
        "lungs version 1: CPUExecutionProvider",
    ]


def test_the_openapi_document_is_printed_written_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "openapi.yaml"

    printed = runner.invoke(app, ["openapi"])
    written = runner.invoke(app, ["openapi", "--output", str(file)])
    same = runner.invoke(app, ["openapi", "--check", str(file)])
    file.write_text(file.read_text().replace("/predict", "/guess"))
    other = runner.invoke(app, ["openapi", "--check", str(file)])

    assert yaml.safe_load(printed.stdout)["openapi"].startswith("3.1")
    assert [written.exit_code, same.exit_code, other.exit_code] == [0, 0, 1]
    assert other.stderr.startswith("pneumo-serve: openapi.yaml is not what the routes say.")


def test_verify_says_whether_the_audit_trail_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'audit.db'}"
    AuditTrail(url, make_logger("info", io.BytesIO()), must_write=True).close()

    whole = runner.invoke(app, ["audit", "verify", "--url", url])
    with sqlite3.connect(tmp_path / "audit.db") as database:
        database.execute("UPDATE pneumoscope_audit SET action = 'predict'")
    database.close()
    altered = runner.invoke(app, ["audit", "verify", "--url", url])
    nowhere = runner.invoke(app, ["audit", "verify", "--url", "nothing"])

    assert (whole.exit_code, whole.output) == (0, "The audit trail is whole.\n")
    assert altered.exit_code == 1
    assert "record 0: it was altered" in altered.output
    assert nowhere.exit_code == 1
    assert "PNEUMO_AUDIT_URL" in nowhere.output
