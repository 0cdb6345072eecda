"""The results of a small run that never happened."""

from datetime import UTC, datetime

from bench.results import (
    Images,
    Limit,
    LoadFigures,
    Machine,
    ModelFacts,
    Overload,
    Point,
    Results,
    Role,
    Soak,
    SplitRate,
    TargetResult,
)

MIB = 2**20


def figures(throughput: float, p99_ms: float = 60) -> LoadFigures:
    return LoadFigures(
        throughput=throughput,
        throughput_by_round=(throughput - 4, throughput + 4),
        p50_ms=p99_ms / 2,
        p99_ms=p99_ms,
        p999_ms=None,
        max_ms=2 * p99_ms,
        statuses={"200": 900, "429": 7},
        generator_cores=0.05,
    )


def point(throughput: float, p99_ms: float = 60, foreign_cores: float = 0.01) -> Point:
    return Point(
        load=figures(throughput, p99_ms), cpu_ms_per_request=5.4, foreign_cores=foreign_cores
    )


def target(key: str, throughput: float, role: Role = "peer", p99_ms: float = 60) -> TargetResult:
    return TargetResult(
        key=key,
        title=key.title(),
        role=role,
        body="raw",
        settings="raw body, 2 workers",
        start_up_s=(1.5, 1.9),
        max_difference=1e-7,
        resident_bytes=200 * MIB,
        proportional_bytes=150 * MIB,
        closed={1: point(throughput / 2, 6), 16: point(throughput, p99_ms)},
        open=point(throughput * 0.7),
    )


def make_results(*targets: TargetResult) -> Results:
    return Results(
        started_at=datetime(2026, 11, 21, 8, tzinfo=UTC),
        finished_at=datetime(2026, 11, 21, 9, tzinfo=UTC),
        revision="0123456789ab",
        before=None,
        provider="cpu",
        quick=False,
        rounds=2,
        seconds=10,
        machine=Machine(
            cpu_model="Example CPU",
            cores=2,
            memory_bytes=2**34,
            gpu=None,
            system="Linux 6",
            python="3.11.7",
            packages={"onnxruntime": "1.31.1"},
        ),
        images=Images(real=True, count=36, mean_bytes=200_000, mean_pixels=1_300_000),
        model=ModelFacts(
            name="tiny", version=1, digest="sha256:0", bytes=MIB, height=160, width=160
        ),
        limit=Limit(
            images_per_s=400,
            splits=(SplitRate(workers=2, intra_op_threads=1, batch=1, images_per_s=(398, 402)),),
            decode_per_s=800,
            run_per_s=900,
            sequential_ms=4,
            cpu_ms_per_image=5,
        ),
        targets=targets,
        overload=Overload(
            factor=4,
            offered_per_s=1520,
            peak_per_s=380,
            deadline_s=30,
            load=figures(372, 300),
            health=figures(20, 12),
        ),
        soak=Soak(
            requests=1000,
            resident_bytes=(200 * MIB, 201 * MIB, 206 * MIB),
            load=figures(370),
        ),
    )
