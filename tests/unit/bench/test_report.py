from pathlib import Path

from PIL import Image

from bench.report import render, write_report
from bench.results import Trial

from .results import make_results, point, target

OURS = target("pneumoscope", 380, "ours")


def test_the_page_begins_with_the_ratios() -> None:
    page = render(make_results(OURS, target("fast", 200)))

    assert page.index("## Ratios") < page.index("## 1 connection") < page.index("## 16 connections")
    assert "| Throughput at 16, raw body ÷ in-process limit | 0.95 | at least 0.9 | met |" in page


def test_the_page_has_every_server_in_every_table() -> None:
    page = render(make_results(OURS, target("fast", 200)))

    row = "| Fast | 200 (196-204) | 0.50 | 30.0 | 60.0 | - | 5.40 | 7 with 429 |"
    assert row in page
    assert "| Fast | 200 | 150 | 1.90 (1.50-1.90) |" in page


def test_the_page_names_what_was_not_measured_and_why() -> None:
    absent = target("ray", 1).model_copy(update={"not_measured": "ray is not installed"})

    page = render(make_results(OURS, absent))

    assert "- Ray: not measured, ray is not installed." in page


def test_the_page_names_the_settings_that_were_tried() -> None:
    trials = (Trial(settings="1 worker", images_per_s=150), Trial(settings="2", images_per_s=None))
    peer = target("fast", 200).model_copy(update={"trials": trials})

    page = render(make_results(OURS, peer))

    assert "Tried, in images/s: 1 worker: 150; 2: -." in page


def test_a_busy_machine_is_confessed() -> None:
    noisy = OURS.model_copy(update={"closed": {16: point(380, foreign_cores=0.5)}})

    assert "The machine was not quiet" in render(make_results(noisy))
    assert "The machine was not quiet" not in render(make_results(OURS))


def test_a_quick_run_is_confessed() -> None:
    results = make_results(OURS).model_copy(update={"quick": True})

    assert "its figures mean nothing" in render(results)


def test_the_report_is_written_with_its_plots_and_its_results(tmp_path: Path) -> None:
    results = make_results(OURS, target("fast", 200))
    file = tmp_path / "run.json"
    file.write_text(results.model_dump_json())

    page = write_report(file, tmp_path / "docs")

    assert page.read_text() == render(
        results, ("benchmark/throughput.png", "benchmark/latency.png")
    )
    for name in ("throughput", "latency"):
        with Image.open(tmp_path / "docs" / "benchmark" / f"{name}.png") as plot:
            assert plot.width > 500
    assert (tmp_path / "docs" / "benchmark" / "results.json").read_text() == file.read_text()


def test_a_run_on_a_gpu_gets_a_page_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    results = make_results(OURS).model_copy(update={"provider": "cuda"})
    file.write_text(results.model_dump_json())

    page = write_report(file, tmp_path)

    assert page == tmp_path / "benchmark-gpu.md"
    assert "on CUDA" in page.read_text()


def test_the_same_results_give_the_same_plots(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(make_results(OURS, target("fast", 200)).model_dump_json())

    once, twice = (write_report(file, tmp_path / name).parent for name in ("once", "twice"))

    plot = Path("benchmark", "throughput.png")
    assert (once / plot).read_bytes() == (twice / plot).read_bytes()
