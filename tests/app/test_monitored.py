"""Debian's Prometheus and Alertmanager watch a running server, with the project's own files."""

import json
import shutil
import subprocess
import urllib.parse
from contextlib import contextmanager

import httpx
import pytest
import yaml

from tests.alert_policies import FOLDER, RULES
from tests.mails import HookServer, serving
from tests.scans import as_bytes, example
from tests.server import free_port
from tests.waiting import until

pytestmark = pytest.mark.long


@contextmanager
def process(*command):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is missing: apt-get install prometheus prometheus-alertmanager")
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        started.terminate()
        started.wait(30)


@pytest.fixture
def watched(server, tmp_path):
    """The address of a Prometheus, and what its Alertmanager told; a second target is down."""
    at, told_at = free_port(), free_port()
    down = f"127.0.0.1:{free_port()}"
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(tmp_path / "rules.yml")]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
        f"127.0.0.1:{told_at}"
    ]
    (job,) = config["scrape_configs"]
    job["scrape_timeout"] = "1s"
    job["static_configs"][0]["targets"] = [urllib.parse.urlsplit(server.url).netloc, down]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    # Two minutes are too long for a test.
    (tmp_path / "rules.yml").write_text(RULES.read_text().replace("for: 2m", "for: 2s"))
    with serving(HookServer()) as hook:
        alerts = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
        alerts["route"]["group_wait"] = "1s"
        for receiver in alerts["receivers"]:
            receiver.pop("email_configs", None)
            url = f"http://127.0.0.1:{hook.server_port}/{receiver['name']}"
            receiver["webhook_configs"] = [{"url": url}]
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alerts))
        with (
            process(
                "prometheus-alertmanager", f"--config.file={tmp_path}/alertmanager.yml",
                f"--storage.path={tmp_path}/am", f"--web.listen-address=127.0.0.1:{told_at}",
                "--cluster.listen-address=",
            ),
            process(
                "prometheus", f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{at}",
            ),
        ):  # fmt: skip
            yield f"http://127.0.0.1:{at}", hook, down


def asked(prometheus, query):
    try:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10)
        return [each["metric"] for each in answer.json()["data"]["result"]]
    except (httpx.HTTPError, ValueError, KeyError):
        return []  # it starts


def test_they_read_a_running_server_and_tell_of_one_that_is_down(watched, server):
    prometheus, hook, down = watched
    until(lambda: asked(prometheus, "up == 1"), timeout_s=120)
    scan = {"image": ("scan.nii.gz", as_bytes(example()))}
    assert httpx.post(f"{server.url}/api/predict", files=scan, timeout=120).status_code == 200
    # The drift of another site, by the same scan twice.
    for added in (1, 0):
        answer = httpx.post(
            f"{server.url}/api/drift", files=scan, data={"site": "mainz"}, timeout=300
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["added"], told["states"][0]["scans"]) == (added, 1)
    values = {"site": "mainz", "features": json.dumps([told["features"]])}
    assert httpx.post(f"{server.url}/api/drift", data=values, timeout=60).json()["added"] == 0
    for query in (
        'hippoview_scans_total{origin="api",outcome="segmented"} >= 1',
        'hippoview_volume_mm3_count{kind="crop",part="anterior"} >= 1',
        'hippoview_drift_state{kind="head",state="not followed"} == 1',
        'hippoview_site_drift_state{site="mainz",state="quiet"} == 1',
        "hippoview_model_version == 1", "hippoview_disk_free_bytes > 0",
    ):  # fmt: skip
        until(lambda query=query: asked(prometheus, query), timeout_s=60)
    until(lambda: hook.got, timeout_s=60)
    path, _, body = hook.got[0]
    (alert,) = json.loads(body)["alerts"]
    assert path == "/on-call"
    assert alert["labels"]["alertname"] == "HippoViewDown"
    assert alert["labels"]["instance"] == down
    assert alert["annotations"]["runbook_url"].endswith("operations.md#hippoviewdown")
    firing = asked(prometheus, 'ALERTS{alertstate="firing",alertname!="HippoViewErrors"}')
    assert {each["instance"] for each in firing} == {down}
