"""Each alert rule fires on its fault and is silent otherwise; configurations are valid."""

import json
import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml

from core.settings import ROOT
from tests.alert_policies import FOLDER, RULES, policies, rules

DASHBOARD = FOLDER / "grafana" / "dashboards" / "hippoview.json"
PLACE = 'instance="a",job="hippoview"'  # in its stead each case has a server of its own
OUTCOMES = ("segmented", "refused", "busy", "failed")


def scans(**steps):
    """Counters of scans by outcome, each with its growth a minute."""
    return {
        f'hippoview_scans_total{{{PLACE},origin="api",outcome="{outcome}"}}': f"0+{step}x200"
        for outcome, step in steps.items()
    }


def steps(bucket_10, bucket_30):
    name = f'hippoview_step_seconds_bucket{{{PLACE},step="segment",le="%s"}}'
    counts = {"10": bucket_10, "30": bucket_30, "+Inf": bucket_30}
    return {name % le: f"0+{step}x200" for le, step in counts.items()}


def confidence(**steps):
    return {
        f'hippoview_confidence_total{{{PLACE},kind="head",confidence="{word}"}}': f"0+{step}x200"
        for word, step in steps.items()
    }


def one(name, values, **labels):
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    series = "up" if name == "up" else f"hippoview_{name}"
    return {f"{series}{{{PLACE}{more}}}": values}


# By alert: series in which it fires after 100 minutes, and others in which it does not.
CASES = {
    "HippoViewDown": (one("up", "1x97 0x100"), one("up", "1x98 0 1x100")),
    "HippoViewNoModel": (one("ready", "1x90 0x100"), one("ready", "1x97 0x2 1x100")),
    "HippoViewModelFailed": (one("model_failed", "0x90 1x100"), one("model_failed", "0x200")),
    "HippoViewDriftAct": (
        one("drift_state", "0x99 1x100", kind="crop", state="act"),
        one("drift_state", "1x200", kind="crop", state="quiet")
        | one("drift_state", "0x200", kind="crop", state="act"),
    ),
    "HippoViewDriftWatch": (
        one("drift_state", "1x200", kind="head", state="watch"),
        one("drift_state", "1x200", kind="head", state="quiet"),
    ),
    "HippoViewSiteDrift": (
        one("site_drift_state", "1x200", site="mainz", kind="crop", state="act"),
        one("site_drift_state", "1x200", site="mainz", kind="crop", state="watch"),
    ),
    "HippoViewQueueFull": (
        one("queue_waiting", "14x200") | one("queue_size", "16x200"),
        one("queue_waiting", "0x98 16 0x100") | one("queue_size", "16x200"),
    ),
    "HippoViewRefused": (scans(busy=1), scans(busy=0, segmented=9)),
    "HippoViewScansFail": (scans(segmented=2, failed=1), scans(segmented=99, failed=1)),
    "HippoViewSlow": (steps(1, 2), steps(2, 2)),
    "HippoViewErrors": (
        one("log_lines_total", "0x95 1x100", level="ERROR"),
        one("log_lines_total", "7x200", level="ERROR")
        | one("log_lines_total", "0+1x200", level="WARNING"),
    ),
    "HippoViewUnreliable": (
        confidence(high=1, unreliable=1),
        confidence(high=9, unreliable=1),
    ),
    "HippoViewDiskFull": (
        one("disk_free_bytes", "5e9x200") | one("disk_total_bytes", "1e11x200"),
        one("disk_free_bytes", "5e10x200") | one("disk_total_bytes", "1e11x200"),
    ),
    "HippoViewMemory": (
        one("memory_available_bytes", "5e8x200"),
        one("memory_available_bytes", "4e9x200"),
    ),
    "HippoViewTrainingFailed": (
        one("jobs", "1x70 2x100", state="failed"),
        one("jobs", "3x200", state="failed") | one("jobs", "1x70 2x100", state="succeeded"),
    ),
    "HippoViewTrainingSilent": (
        one("job_silent_seconds", "0+60x200"),
        one("job_silent_seconds", "5x200"),
    ),
    "HippoViewTrailFault": (one("audit_faults", "0x99 1x100"), one("audit_faults", "0x200")),
    "HippoViewTrailUnchecked": (
        one("audit_check_timestamp_seconds", "-90000x200"),
        one("audit_check_timestamp_seconds", "0x200"),
    ),
    "HippoViewCasesDamaged": (one("cases_damaged", "2x200"), one("cases_damaged", "0x200")),
    "HippoViewCasesFailing": (
        one("cases_state", "1x200", state="failing"),
        one("cases_state", "1x200", state="taking in"),
    ),
    "HippoViewDeletionOverdue": (one("cases_overdue", "1x200"), one("cases_overdue", "0x200")),
    "HippoViewMessagesWait": (
        one("notices_oldest_seconds", "0+60x200", channel="mail"),
        one("notices_oldest_seconds", "0x200", channel="mail"),
    ),
    "HippoViewPartUnknown": (
        one("part_unknown", "1x200", part="cases"),
        one("part_unknown", "0x95 1 0x100", part="cases"),
    ),
    "HippoViewVersionChanged": (
        one("model_version", "1x95 2x100"),
        one("model_version", "2x200"),
    ),
}


def place(name):
    return f'instance="{name}",job="hippoview"'


def promtool():
    if not (path := shutil.which("promtool")):
        pytest.skip("promtool is missing: apt-get install prometheus")
    return path


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_every_rule_fires_on_its_fault_and_is_silent_otherwise(tmp_path):
    assert set(CASES) == {rule["alert"] for rule in rules()}
    # All faults at once, each on a server of its own, and all that is no fault.
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": series.replace(PLACE, place(alert)), "values": values}
                for alert, both in CASES.items()
                for series, values in both[number].items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'count by (instance) (ALERTS{{alertname="{alert}",'
                    'alertstate="firing"})',
                    "eval_time": "100m",
                    "exp_samples": [{"labels": f'{{instance="{alert}"}}', "value": 1}] * fires,
                }
                for alert in CASES
            ],
        }
        for number, fires in ((0, 1), (1, 0))
    ]
    file = tmp_path / "tests.yml"
    suite = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(suite))
    done = run(promtool(), "test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configurations_are_valid():
    done = run(promtool(), "check", "config", str(FOLDER / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    if not (amtool := shutil.which("amtool")):
        pytest.skip("amtool is missing: apt-get install prometheus-alertmanager")
    done = run(amtool, "check-config", str(FOLDER / "alertmanager.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_links_to_its_runbook():
    text = (ROOT / "docs" / "operations.md").read_text()
    headings = {h.lower() for h in re.findall(r"^#{3,4} (\S+)$", text, re.MULTILINE)}
    for rule in rules():
        link = rule["annotations"]["runbook_url"]
        assert link == "{{ $externalLabels.runbooks }}#" + rule["alert"].lower()
        assert rule["alert"].lower() in headings


def expressions():
    dashboard = json.loads(DASHBOARD.read_text())
    shown = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
    return [*shown, *(rule["expr"] for rule in rules())]


def test_the_dashboard_asks_what_prometheus_understands(tmp_path):
    file = tmp_path / "rules.yml"
    asked = [
        {"record": f"asked:{n}", "expr": expr.replace("$instance", ".*").replace("$__", "")}
        for n, expr in enumerate(expressions())
    ]
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))
    done = run(promtool(), "check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_of_the_dashboard_do_not_lie_on_each_other():
    places = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        assert all(x < 24 for x, _ in cells)
        places |= cells


def test_google_clouds_policies_are_the_same_rules():
    """`deploy/monitoring/gcp/schema.json` is what Google's own protobuf of a policy takes."""
    schema = json.loads((FOLDER / "gcp" / "schema.json").read_text())
    written = {
        path.name: json.loads(path.read_text())
        for path in (FOLDER / "gcp").glob("*.json")
        if path.name != "schema.json"
    }
    for policy in written.values():
        jsonschema.validate(policy, schema)
    assert written == policies()  # else: python -m tests.alert_policies
