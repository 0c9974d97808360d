"""Alerts and dashboard: of metrics that exist, taken by a real Prometheus, with their part of the runbook."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from listening_service import listening
from running_service import make_settings

from services.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "examples" / "monitoring"
ALERTS = yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
WITHIN_S = 60
# What a service that nobody uses yet has no sample of.
UNUSED = {"fo1_predictions_total"}
# What Prometheus answers, in plain text, from when it listens until it has read its database.
STARTING = 503


@pytest.fixture(scope="module")
def prometheus() -> str:
    """The folder of Prometheus' programs."""
    found = shutil.which("prometheus")
    if found is None or shutil.which("promtool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Prometheus is not installed: apt-get install prometheus")
        pytest.skip("no Prometheus: its programs prometheus and promtool are not installed")
    return found


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:fo1|process)_\w+", query))


def test_every_metric_exists() -> None:
    known = {
        name + suffix
        for family in Metrics().registry.collect()
        for name in (family.name,)
        for suffix in ("", "_total", "_bucket")
    }
    queries = [*QUERIES, *(rule["expr"] for rule in ALERTS)]
    assert set().union(*map(names_in, queries)) <= known


def test_every_alert_is_in_the_runbook() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    parts = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert parts == [rule["alert"] for rule in ALERTS]
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_each_alert_fires_when_it_should(prometheus: str) -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yaml"], cwd=FILES, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_answers_the_queries_of_every_panel(prometheus: str, home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with listening(make_settings(home)) as service:
        config: dict[str, Any] = yaml.safe_load((FILES / "prometheus.yaml").read_text(encoding="utf-8"))
        config["global"]["scrape_interval"] = "1s"
        config["rule_files"] = [str(FILES / "alerts.yaml")]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{service.port}"]}]
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
        options = {"config.file": tmp_path / "prometheus.yaml", "storage.tsdb.path": tmp_path / "data"}
        command = [prometheus, f"--web.listen-address={address}"]
        command += [f"--{name}={value}" for name, value in options.items()]
        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as server,
        ):
            try:
                service.get("/v1/jobs")
                with httpx.Client(base_url=f"http://{address}", timeout=WITHIN_S) as client:
                    for query in QUERIES:
                        wait_for_samples(client, query.replace("$instance", ".*").replace("5m", "1m"))
                    rules = client.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
                    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
            finally:
                server.terminate()


def wait_for_samples(client: httpx.Client, query: str) -> None:
    """Ask until the answer has samples; of what nobody has used, until the query is answered."""
    ends_s = time.monotonic() + WITHIN_S
    while True:
        try:
            response = client.get("/api/v1/query", params={"query": query})
            answer: dict[str, Any] = (
                {"status": "absent"} if response.status_code == STARTING else response.json()
            )
        except httpx.TransportError:  # it does not listen yet
            answer = {"status": "absent"}
        if answer["status"] == "success" and (answer["data"]["result"] or names_in(query) & UNUSED):
            return
        assert answer["status"] != "error", answer
        assert time.monotonic() < ends_s, f"no sample of {query}"
        time.sleep(0.2)
