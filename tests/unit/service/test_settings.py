from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import InvalidConfiguration
from service.settings import Settings, read_settings

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


def test_a_value_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMO_PROVIDER", "tpu")

    with pytest.raises(
        InvalidConfiguration, match="provider: Input should be 'auto', 'cuda', 'cpu' or"
    ):
        read_settings()


def test_all_bodies_together_may_hold_at_least_one_of_full_size() -> None:
    assert read_settings(max_body_bytes=5, receive_budget_bytes=5).receive_budget_bytes == 5
    with pytest.raises(InvalidConfiguration, match="PNEUMO_RECEIVE_BUDGET_BYTES must not be less"):
        read_settings(max_body_bytes=5, receive_budget_bytes=4)


def test_settings_do_not_change() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_gpus_are_named_in_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMO_GPU_DEVICES", "0, 2")

    assert read_settings().gpu_devices == (0, 2)


@pytest.mark.parametrize("devices", ["", "0,a", "-1", "0,0", "0,,1"])
def test_no_list_of_gpus_is_refused(monkeypatch: pytest.MonkeyPatch, devices: str) -> None:
    monkeypatch.setenv("PNEUMO_GPU_DEVICES", devices)

    with pytest.raises(InvalidConfiguration, match=r"gpu_devices|PNEUMO_GPU_DEVICES"):
        read_settings()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"provider": "auto"}, "needs PNEUMO_PROVIDER to be cpu, cuda or tensorrt"),
        ({"provider": "cuda"}, "load every model on a GPU that another one has"),
        ({"provider": "tensorrt", "gpu_devices": (1,)}, "must not be more than the GPUs"),
        ({"provider": "cpu", "port": 65534}, "no port for each of PNEUMO_WORKERS"),
    ],
)
def test_workers_that_would_share_a_gpu_or_lack_a_port_are_refused(
    settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=reason):
        read_settings(workers=2, **settings)


def test_workers_on_the_cpu_or_with_a_gpu_each_are_taken() -> None:
    assert read_settings(workers=8, provider="cpu").workers == 8
    assert read_settings(workers=2, provider="cuda", gpu_devices=(0, 1)).workers == 2
