from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import StartError
from service.settings import RETIRED, Settings, check_names, read_settings, retired_settings

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_defaults_serve_the_shipped_models_on_the_loopback() -> None:
    settings = Settings()

    assert settings.models_dir == REPOSITORY / "models"
    assert (settings.host, settings.port, settings.provider) == ("127.0.0.1", 8000, "auto")
    assert (settings.max_files, settings.max_body_bytes) == (32, 64 * 1024 * 1024)
    assert settings.max_pixels == 100_000_000
    assert (settings.receive_budget_bytes, settings.receive_timeout_s) == (256 * 1024 * 1024, 60)


def test_the_environment_sets_and_an_argument_goes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PNEUMO_PORT", "9000")
    monkeypatch.setenv("PNEUMO_HOST", "0.0.0.0")  # noqa: S104 - it is only read back

    settings = read_settings(port=9001, host=None)

    assert (settings.host, settings.port) == ("0.0.0.0", 9001)  # noqa: S104 - as above


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"provider": "tpu"}, "^provider: Input should be 'auto', 'cuda' or 'cpu'. See"),
        ({"threads": 0}, "^threads: Input should be greater than or equal to 1. See"),
        ({"api_keys": " "}, "PNEUMO_API_KEYS is empty"),
        (
            {"max_body_bytes": 5, "receive_budget_bytes": 4},
            "PNEUMO_RECEIVE_BUDGET_BYTES must not be less",
        ),
        (
            {"workers": 2, "provider": "cpu", "models_poll_s": 1},
            "PNEUMO_MODELS_POLL_S is for one worker",
        ),
        ({"workers": 2}, "needs PNEUMO_PROVIDER=cpu"),
        ({"tls_key": "server.key"}, "go together"),
        ({"tls_client_authorities": "ca.crt"}, "needs PNEUMO_TLS_CERTIFICATE"),
    ],
)
def test_what_is_wrong_or_does_not_fit_together_is_named(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(StartError, match=says):
        read_settings(**settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "reader.example", ""])  # noqa: S104
def test_what_others_can_reach_needs_keys_or_the_word_of_the_operator(host: str) -> None:
    with pytest.raises(StartError, match="PNEUMO_API_KEYS_FILE, or PNEUMO_INSECURE=1"):
        read_settings(host=host).check_exposure()

    read_settings(host=host, insecure=True).check_exposure()
    read_settings(host=host, api_keys_file="keys.json").check_exposure()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_the_loopback_needs_neither(host: str) -> None:
    read_settings(host=host).check_exposure()


def test_names_are_taken_apart_at_commas_and_a_kubernetes_service_is_no_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PNEUMO_ALLOWED_HOSTS", " Reader.example,, ::1 ")
    monkeypatch.setenv("PNEUMO_CORS_ORIGINS", "")
    monkeypatch.setenv("PNEUMO_PORT", "tcp://10.0.0.1:9000")

    settings = read_settings()

    assert all(field.description for field in Settings.model_fields.values())
    assert (settings.allowed_hosts, settings.cors_origins) == (("reader.example", "::1"), ())
    assert settings.port == 8000
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_what_was_a_setting_is_named_where_it_is_set() -> None:
    environment = {"PNEUMO_ENGINES": "2", "PNEUMO_GPU_DEVICES": "", "PNEUMO_PORT": "1"}

    assert list(retired_settings(environment)) == ["PNEUMO_ENGINES"]
    assert not RETIRED.keys() & {f"PNEUMO_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize(
    "name",
    [
        "PNEUMO_MEMORY",
        "PNEUMO_PUBLISHED_PORT",
        "PNEUMO_DATA",
        "PNEUMO_GATEWAY_CONFIG",
        "PNEUMO_GATEWAY_SERVICE_HOST",
        "PNEUMO_READER_SERVICE_PORT_HTTP",
        "PNEUMO_READER_PORT_8000_TCP_ADDR",
        "PNEUMO_SERVICE_HOST",
        "PNEUMO_PORT_8000_TCP",
        "PNEUMO_PORT_8000_TCP_ADDR",
        "PNEUMO_ENGINES",
        "pneumo_max_pixels",
        "HOME",
    ],
)
def test_a_variable_of_somebody_else_stops_no_start(name: str) -> None:
    check_names({name: "1"})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("PNEUMO_MODEL_DIR", "PNEUMO_MODELS_DIR"),
        ("PNEUMO_APIKEY_FILE", "PNEUMO_API_KEYS_FILE"),
        ("PNEUMO_THREAD", "PNEUMO_THREADS"),
    ],
)
def test_a_misspelt_variable_stops_the_start_and_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(StartError, match=f"no setting {name}. Did you mean {nearest}"):
        check_names({name: "1"})
