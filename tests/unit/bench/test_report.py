from pathlib import Path

import pytest

from bench.limit import Limit
from bench.report import GOALS, Figures, write_report
from bench.run import OVERLOAD, Cell, Results, Visit, targets

RATES = {"pneumoscope raw": 300, "pneumoscope-default raw": 400, "fastapi-pillow raw": 200}
SESSION = Limit(per_s=360, cpu_ms=5.5, alone_ms=4, decode_ms=2.5, probabilities=((0.5, 0.5),))


def cell(rate: float, p99_ms: float = 20) -> Cell:
    return Cell(
        throughput=rate,
        p50_ms=1000 / rate,
        p99_ms=p99_ms,
        statuses={"200": 100, "429": 3},
        answers=100,
        cpu_ms=6.2,
    )


def visit(key: str, loads: tuple[str, ...], factor: float) -> Visit:
    rate = RATES.get(key, 150) * factor
    cells = {load: cell(rate * (0.85 if load == OVERLOAD else 1)) for load in loads}
    return Visit(cells=cells, memory_bytes=200 * 2**20, start_s=1.25)


@pytest.fixture
def results() -> Results:
    """Three rounds, of which the second is twice as fast and the third half as fast."""
    return Results(
        facts={"Machine": "drawn"},
        model="tiny/1",
        precisions={
            "pneumoscope": "fp32",
            "pneumoscope-audited": "fp32",
            "pneumoscope-default": "int8",
            "pneumoscope-two": "fp32",
        },
        limits=[{"fp32": SESSION, "int8": SESSION}] * 3,
        visits=[
            {target.key: visit(target.key, target.loads, factor) for target in targets()}
            for factor in (1, 2, 0.5)
        ],
    )


def goal(results: Results, words: str) -> float | None:
    [found] = [goal for goal in GOALS if words in goal.name]
    return found.value(Figures(results))


def test_goals_are_ratios_of_medians(results: Results) -> None:
    assert goal(results, "at 16 ÷ best peer with Pillow") == pytest.approx(300 / 200)
    assert goal(results, "at 16 ÷ best peer with our decode") == pytest.approx(2)
    assert goal(results, "INT8 by default ÷ best peer with Pillow") == pytest.approx(2)
    assert goal(results, "Latency at 1 ÷ best peer with Pillow") == pytest.approx(200 / 300)
    assert goal(results, "in-process limit, raw body") == pytest.approx(300 / 360)
    assert goal(results, "CPU per image beyond") == pytest.approx(0.7)
    assert goal(results, "Goodput") == pytest.approx(0.85)
    assert goal(results, "p99 of the accepted") == pytest.approx(0.02)
    assert goal(results, "two processes") == 200
    # What is not INT8 by default has no such figure.
    results.precisions["pneumoscope-default"] = "fp32"
    assert goal(results, "INT8 by default ÷ best peer with Pillow") is None


def test_every_goal_stands_beside_what_was_measured_and_failures_with_their_reason(
    results: Results, tmp_path: Path
) -> None:
    for visits in results.visits:
        visits["litserve-opencv raw"] = Visit(failure="no answer within 120 s")

    write_report(results, tmp_path / "benchmark.md")

    page = (tmp_path / "benchmark.md").read_text()
    assert "| Images/s at 16 ÷ best peer with Pillow | 1.50 | at least 1.5 | met |" in page
    assert "| Images/s at 16 ÷ in-process limit, raw body | 0.83 | at least 0.75 | met |" in page
    assert page.index("## Open loop") < page.index("## Closed loop")
    assert page.index("### Open 70 %") < page.index("### Open 50 %")
    assert "| Pneumoscope, fp32 | raw | 300 | 150-600 |" in page
    assert "| FastAPI handler, Pillow | multipart | 150 |" in page
    assert [page.count(f"\n| {precision} |") for precision in ("fp32", "int8")] == [1, 1]
    assert "- litserve-opencv raw: no answer within 120 s" in page
    assert "| LitServe, OpenCV | raw |" not in page
