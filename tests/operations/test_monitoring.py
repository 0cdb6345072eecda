"""The alerts, the dashboard and the runbook, checked with Prometheus's own tool."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from service.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = json.loads(DASHBOARD.read_text())["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
SERIES = re.compile(r"\b(?:pneumoscope|pneumo_gateway)_[a-z_]+")
SUFFIXES = ("_total", "_bucket", "_sum", "_count", "")


def promtool(*arguments: str, cwd: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    command = ["promtool", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_prometheus_accepts_its_configuration() -> None:
    checked = promtool("check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_accepts_its_configuration_for_kubernetes_which_sends_a_key(
    tmp_path: Path,
) -> None:
    configuration = yaml.safe_load((PROMETHEUS / "kubernetes.yml").read_text())
    [job] = configuration["scrape_configs"]
    assert job["authorization"]["credentials_file"].startswith("/run/secrets/")
    # Debian builds promtool without this part.
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    # The key's file is there, not here.
    checked = promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in cases
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in RULES}


def test_every_query_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def names() -> set[str]:
    """What the service and the gateway measure."""
    lines = Metrics().exposition().decode().splitlines()
    source = (ROOT / "gateway" / "metrics.py").read_text()
    # The last part of its longest ones depends on what is counted.
    return {
        *(line.split()[2] for line in lines if "# TYPE" in line),
        *re.findall(r'"(pneumo_gateway_[a-z_]+)"', source),
        *(
            f"pneumo_gateway_waiting_by_{column}{kind}"
            for column in ("calling", "destination")
            for kind in ("", "_oldest_seconds")
        ),
    }


@pytest.mark.parametrize("query", [*[rule["expr"] for rule in RULES], *QUERIES])
def test_every_series_that_is_asked_for_exists(query: str) -> None:
    known = names()
    for series in SERIES.findall(query):
        forms = {series.removesuffix(suffix) for suffix in SUFFIXES}
        forms |= {f"{form}_total" for form in forms}
        assert forms & known, series


def test_the_runbook_has_a_paragraph_for_every_alert() -> None:
    headings = {
        line.removeprefix("## ").strip()
        for line in (ROOT / "docs" / "runbook.md").read_text().splitlines()
        if line.startswith("## ")
    }
    assert {rule["alert"] for rule in RULES} <= headings
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
