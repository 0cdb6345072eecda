"""The scoring of archives, by the command, over drawn images: a folder, S3, several nodes."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pyarrow.dataset as pads
import pytest
from moto.server import ThreadedMotoServer
from ray._common.usage import usage_lib
from ray.cluster_utils import Cluster

from cluster.report import DRIFT, by_month
from cluster.score import done, rows_of, write_batch
from cluster.sources import open_source
from tests.synthetic import as_dicom, as_jpeg, synthetic_radiograph

ROOT = Path(__file__).parents[2]
FILMS, FILES = 48, 51
PATIENCE_S = 240


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of two sites and months, a name beyond ASCII, and two that cannot be read."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(FILMS):
        day = folder / f"day-{number % 2}"
        day.mkdir(exist_ok=True)
        film = as_dicom(
            synthetic_radiograph(rows=500, columns=600, seed=number).astype("uint16") * 16,
            Modality="DX",
            StudyDate=f"20260{1 + number // 2 % 2}01",
            InstitutionName=f"Site {number % 2}",
            Manufacturer="Drawn",
        )
        (day / f"{number}.dcm").write_bytes(film)
    (folder / "Röntgen.jpg").write_bytes(as_jpeg(synthetic_radiograph(rows=500, columns=600)))
    (folder / "notes.txt").write_text("no image")
    (folder / "cut.jpg").write_bytes(as_jpeg(synthetic_radiograph(rows=500, columns=600))[:900])
    (folder / ".hidden").write_text("never looked at")
    return folder


def command(source: str, output: Path, *options: str) -> list[str]:
    run = [sys.executable, "-m", "cluster.score", "--input", source, "--output", str(output)]
    return [*run, "--batch", "4", "--workers", "1", *options]


def run(source: str, output: Path, *options: str, status: int = 0) -> str:
    """Run to the end, which has this status; what it said."""
    ended = subprocess.run(
        command(source, output, *options),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == status, ended.stdout
    return ended.stdout


def begun(
    source: str, output: Path, *options: str, batches: int = 1, **environment: str
) -> subprocess.Popen[str]:
    """A run, in a group of its own, that has written so many batches."""
    started = subprocess.Popen(
        command(source, output, *options),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + PATIENCE_S
    while len(list((output / "_done").glob("*.parquet"))) < batches:
        assert started.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    return started


def assert_whole(output: Path) -> list[dict[str, Any]]:
    """Every file is there once, and those that cannot be read say why."""
    rows: list[dict[str, Any]] = rows_of(output).to_pylist()
    files = Counter(row["file"] for row in rows)
    assert len(files) == FILES
    assert set(files.values()) == {1}
    problems = {row["file"]: row["problem"] for row in rows if row["status"] != "ok"}
    assert problems == {"notes.txt": "not-an-image", "cut.jpg": "corrupt-image"}
    return rows


@pytest.fixture(scope="module")
def scored(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("scored")
    run(str(archive), output)
    return output


def test_every_file_of_a_folder_is_read_once_or_named_with_its_problem(scored: Path) -> None:
    rows = assert_whole(scored)
    dates = Counter(row["study_date"] for row in rows)
    assert dates == {"2026-01-01": FILMS / 2, "2026-02-01": FILMS / 2, "unknown": 3}
    film = next(row for row in rows if row["file"] == "day-1/1.dcm")
    assert (film["site"], film["device"], film["modality"]) == ("Site 1", "Drawn", "DX")
    assert sum(value for _, value in film["probabilities"]) == pytest.approx(1, abs=0.01)
    assert str(film["digest"]).startswith("sha256:")


def test_the_report_says_what_was_decided_and_what_was_not_read(scored: Path) -> None:
    page = (scored / "report.html").read_text()
    assert "Research only. Not for diagnosis." in page
    assert f"{FILES} files: {FILES - 2} answered, 2 could not be read." in page
    assert "not-an-image" in page
    titles = ["Decisions", "Referred, by site", "Referred, by device"]
    titles += [f"Drift by {by}: {value}" for by in ("site", "device") for value in DRIFT.values()]
    for title in titles:
        assert f'alt="{title}" src="data:image/png;base64' in page


def test_drift_is_the_mean_of_each_month_and_site() -> None:
    seen = [
        ("A", "2026-01-03", 1.0),
        ("A", "2026-01-30", 3.0),
        ("A", "2026-02-01", 5.0),
        ("B", "2026-02-28", 7.0),
        ("B", "unknown", 9.0),
    ]
    answered = pd.DataFrame(seen, columns=["site", "study_date", "ood_score"])

    months = by_month(answered, "site", "ood_score")

    assert [str(month) for month in months.index] == ["2026-01", "2026-02"]
    assert months["A"].tolist() == [2.0, 5.0]
    assert months["B"].dropna().tolist() == [7.0]


def test_a_second_run_reads_nothing_and_another_archive_is_refused(
    archive: Path, scored: Path
) -> None:
    before = {file: file.stat().st_mtime_ns for file in scored.rglob("*.parquet")}
    assert f"0 files to read, {FILES} are done." in run(str(archive), scored)
    assert {file: file.stat().st_mtime_ns for file in scored.rglob("*.parquet")} == before
    assert "Name another folder" in run(str(archive.parent), scored, status=1)


def test_what_a_run_left_of_an_unfinished_batch_is_no_row_and_goes_with_the_next_run(
    archive: Path, scored: Path
) -> None:
    [whole, *_] = scored.glob("study_date=2026-01-01/*.parquet")
    left = whole.with_name("0" * 24 + ".parquet")
    left.write_bytes(whole.read_bytes())
    assert_whole(scored)

    run(str(archive), scored)

    assert not left.exists()
    in_parquet = pads.dataset(sorted(map(str, scored.glob("study_date=*/*"))), format="parquet")
    assert in_parquet.count_rows() == FILES


def test_a_file_whose_row_is_gone_is_not_done(tmp_path: Path) -> None:
    assert done(tmp_path) == set()
    dates = {"kept.dcm": "2026-01-01", "lost.dcm": "2026-02-01"}
    rows = [{"file": name, "study_date": date} for name, date in dates.items()]
    write_batch(tmp_path, list(dates), rows)
    assert done(tmp_path) == set(dates)

    [lost] = tmp_path.glob("study_date=2026-02-01/*.parquet")
    lost.unlink()

    assert done(tmp_path) == {"kept.dcm"}


def test_a_folder_that_is_empty_as_an_unmounted_one_is_away(tmp_path: Path) -> None:
    source = open_source(str(tmp_path))
    with pytest.raises(OSError, match="is not there, or empty"):
        source.check()
    (tmp_path / "film.dcm").touch()
    source.check()


def test_a_file_that_is_gone_when_its_turn_comes_is_a_row_with_its_problem(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("there.jpg", "gone.jpg"):
        (films / name).write_bytes(as_jpeg(synthetic_radiograph(rows=500, columns=600)))
    started = subprocess.Popen(
        command(str(films), tmp_path / "scored"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "2 files to read, 0 are done.\n"
    (films / "gone.jpg").unlink()
    started.communicate(timeout=PATIENCE_S)

    assert started.returncode == 0
    found = {row["file"]: row["problem"] for row in rows_of(tmp_path / "scored").to_pylist()}
    assert found == {"there.jpg": None, "gone.jpg": "unreadable"}


def test_ray_tells_its_makers_nothing() -> None:
    assert not usage_lib.usage_stats_enabled()


def test_a_run_that_was_killed_goes_on_and_reads_nothing_twice(
    archive: Path, tmp_path: Path
) -> None:
    killed = begun(str(archive), tmp_path, batches=2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    kept = {file.name for file in (tmp_path / "_done").glob("*.parquet")}
    told = run(str(archive), tmp_path)
    assert "0 are done" not in told
    assert kept <= {file.name for file in (tmp_path / "_done").glob("*.parquet")}
    assert_whole(tmp_path)


def test_a_bucket_is_read_as_a_folder_is(
    archive: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "drawn")
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="films")
        for file in archive.rglob("*"):
            if file.is_file():
                client.upload_file(str(file), "films", f"2026/{file.relative_to(archive)}")
        query = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        run(f"s3://films/2026?{query}", tmp_path)
    finally:
        server.stop()
    answered = {row["file"]: row["probabilities"] for row in assert_whole(tmp_path)}
    assert answered == {row["file"]: row["probabilities"] for row in rows_of(scored).to_pylist()}


@pytest.fixture(params=[2, 4])
def nodes(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(request.param - 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def test_a_node_that_is_killed_loses_nothing_and_doubles_nothing(
    archive: Path, tmp_path: Path, nodes: Cluster
) -> None:
    workers = ("--workers", str(len(nodes.list_all_nodes())))
    started = begun(str(archive), tmp_path, *workers, RAY_ADDRESS=nodes.address)
    nodes.remove_node(nodes.list_all_nodes()[-1], allow_graceful=False)
    said, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 0, said
    assert_whole(tmp_path)
