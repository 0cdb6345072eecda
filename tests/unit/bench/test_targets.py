import sys
from pathlib import Path

import pytest

from bench.errors import NoModelUnderTest, UnknownTarget
from bench.peer_targets import peers
from bench.peers.config import PeerConfig, PeerSettings
from bench.results import Provider
from bench.targets import REPOSITORY, Conditions, find_bundle, ours, parse_variant, prepare, select
from tests.bundles import write_bundle


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    write_bundle(tmp_path / "models", "tiny", 1)
    write_bundle(tmp_path / "models", "tiny", 2)
    return prepare(tmp_path / "models", "cpu", 2, tmp_path / "scratch", None)


def test_the_model_that_answers_by_default_is_measured() -> None:
    bundle, manifest = find_bundle(REPOSITORY / "models")

    assert manifest.name == "xray-four-class"
    assert bundle.parts[-2:] == ("xray-four-class", str(manifest.version))


def test_the_latest_version_is_measured_alone(conditions: Conditions) -> None:
    assert conditions.bundle.parts[-2:] == ("tiny", "2")
    assert [path.name for path in conditions.models.glob("*/*")] == ["2"]


def test_without_a_model_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(NoModelUnderTest, match="--models"):
        find_bundle(tmp_path)


def test_a_peer_is_told_everything_through_its_environment(
    conditions: Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = peers(cores=2)[0]
    settings = PeerSettings(workers=2, environment={"SWITCH": "on"})

    command = peer.start(conditions, settings, 8123)
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    config = PeerConfig.read()

    assert (config.port, config.bundle, config.settings) == (8123, conditions.bundle, settings)
    assert command.environment["SWITCH"] == "on"


def test_no_peer_reports_to_its_maker(conditions: Conditions) -> None:
    for peer in peers(cores=2):
        environment = peer.start(conditions, peer.candidates[0], 8123).environment

        assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
        assert environment["BENTOML_DO_NOT_TRACK"] == "True"


@pytest.mark.parametrize(
    ("provider", "cores", "environment"),
    [("cpu", 2, {"PNEUMO_WORKERS": "2"}), ("cpu", 1, {}), ("cuda", 16, {})],
)
def test_the_service_is_run_as_an_operator_runs_it(
    conditions: Conditions, provider: Provider, cores: int, environment: dict[str, str]
) -> None:
    service = ours(provider, cores)[0]

    command = service.start(conditions, service.candidates[0], 8123)

    assert list(command.arguments[:4]) == [sys.executable, "-m", "service", "run"]
    assert "--models-dir" in command.arguments
    assert command.environment == environment


def test_an_earlier_checkout_is_run_from_its_own_folder(
    conditions: Conditions, tmp_path: Path
) -> None:
    before = next(target for target in ours("cpu", 2, tmp_path) if target.role == "before")

    assert before.start(conditions, before.candidates[0], 8123).folder == tmp_path


def test_a_variant_is_the_service_with_other_settings(conditions: Conditions) -> None:
    variant = parse_variant("one:PNEUMO_DECODE_WORKERS=1,PNEUMO_QUEUE_LIMIT=64")

    target = ours("cpu", 4, variants=(variant,))[-1]

    environment = target.start(conditions, target.candidates[0], 8123).environment
    assert environment == {
        "PNEUMO_WORKERS": "4",
        "PNEUMO_DECODE_WORKERS": "1",
        "PNEUMO_QUEUE_LIMIT": "64",
    }
    assert target.describe(target.candidates[0]).endswith(
        "PNEUMO_DECODE_WORKERS=1, PNEUMO_QUEUE_LIMIT=64"
    )


@pytest.mark.parametrize("text", ["", "name", ":A=1", "name:A", "name:=1"])
def test_a_variant_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UnknownTarget, match="NAME:VARIABLE=VALUE"):
        parse_variant(text)


def test_targets_are_chosen_by_key() -> None:
    targets = (*ours("cpu", 2), *peers(cores=2))

    assert [target.key for target in select(targets, "litserve,pneumoscope")] == [
        "pneumoscope",
        "litserve",
    ]
    assert select(targets, "") == targets
    with pytest.raises(UnknownTarget, match="absent"):
        select(targets, "absent")


def test_flask_needs_a_keras_model(conditions: Conditions) -> None:
    flask = next(target for target in peers(cores=2) if target.needs_keras_model)

    assert flask.missing(conditions)


def test_only_another_precision_may_answer_otherwise() -> None:
    settings = ("a:PNEUMO_WORKERS=2", "b:PNEUMO_PRECISION=fp32", "c:PNEUMO_PRECISION=int8")

    variants = tuple(map(parse_variant, settings))
    default, _, several, named, quantised = ours("cpu", 2, variants=variants)

    assert default.tolerance == several.tolerance == named.tolerance
    assert quantised.tolerance > default.tolerance
