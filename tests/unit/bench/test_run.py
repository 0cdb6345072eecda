"""A run with the real service, over before it means anything."""

from pathlib import Path

import pytest

from bench.gpu import Kit
from bench.run import Plan, Results, measure
from tests.bundles import write_bundle
from tests.synthetic import as_jpeg, synthetic_radiograph


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model repository; the images of the run are two drawn ones."""
    folder = tmp_path / "data" / "chest_xray_originals" / "NORMAL"
    folder.mkdir(parents=True)
    for seed in range(2):
        image = as_jpeg(synthetic_radiograph(64, 64, seed=seed))
        (folder / f"{seed}.jpeg").write_bytes(image)
    monkeypatch.setenv("PNEUMO_DATA", str(tmp_path / "data"))
    write_bundle(tmp_path / "models")
    return tmp_path / "models"


def test_a_run_measures_and_writes_what_it_finds(models: Path, tmp_path: Path) -> None:
    file, said = tmp_path / "results.json", list[str]()
    plan = Plan(1, 0.2, 0.1, ("pneumoscope", "fastapi-ours"), models)

    found = measure(plan, file, said.append)

    assert {key for visits in found.visits for key in visits} == {
        f"{server} {body}"
        for server in ("pneumoscope", "fastapi-ours")
        for body in ("raw", "multipart")
    }
    ours, peer = found.visits[0]["pneumoscope raw"], found.visits[0]["fastapi-ours raw"]
    assert ours.failure is None
    assert set(ours.cells) > {"closed 1", "closed 16", "open 70 %", "overload"}
    assert ours.cells["closed 16"].throughput > 0
    assert ours.difference < 1e-3
    assert peer.failure is None
    assert found.limits[0]["fp32"].per_s > 0
    assert len(said) == len(found.visits[0])
    assert Results.model_validate_json(file.read_text()) == found


def test_the_kit_finds_on_the_cpu_what_is_there(models: Path) -> None:
    write_bundle(models, "other")
    kit = Kit("cpu", models, 0.3, 2)

    environment = "\n".join(kit.environment())
    parity = "\n".join(kit.parity())
    ways = "\n".join(kit.ways())
    service = "\n".join(kit.service())

    assert "Provider in use: cpu" in environment
    assert "| tiny fp32 | 0.0e+00 |" in parity
    assert "| other fp32 |" in parity
    assert "differs" not in parity
    assert "| 32 |" in ways
    assert "| open, 70 % of the peak |" in service


def test_the_kit_says_what_the_service_does_without_memory_and_device(models: Path) -> None:
    kit = Kit("cpu", models, 0.3, 2, lost_after_s=1)

    memory = list(kit.memory_limit())
    lost = list(kit.device_lost())

    # On a CPU there is neither a limit nor a device to lose.
    assert "it runs." in memory[0]
    assert "`/predict` 200, `/health/ready` 200" in memory[1]
    assert "starts and answers" in lost[0]
    assert [text.partition(": ")[2] for text in lost[1:]] == [
        "`/predict` 200, `/health/ready` 200."
    ] * 3
