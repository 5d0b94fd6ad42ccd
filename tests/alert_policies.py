"""The alert rules as policies of Google Cloud Monitoring: ``python -m tests.alert_policies``.

The same expressions, by Managed Service for Prometheus; `tests/test_alerts.py` compares.
"""

import json
import re
from typing import Any

import yaml

from core.settings import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
RULES = FOLDER / "rules" / "hippoview.yml"
RUNBOOKS = "https://hippoview.example.org/docs/operations.md"
_SEVERITIES = {"critical": "CRITICAL", "warning": "WARNING", "info": "WARNING"}


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def policies() -> dict[str, dict[str, Any]]:
    """By file name, the policy of each rule."""
    return {f"{_file(rule['alert'])}.json": _policy(rule) for rule in rules()}


def _file(alert: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", alert.removeprefix("HippoView")).lower()


def _policy(rule: dict[str, Any]) -> dict[str, Any]:
    name, told = rule["alert"], rule["annotations"]
    # Prometheus's templates mean nothing there: the incident shows the labels.
    summary, more = (re.sub(r"\{\{.*?\}\}", "...", told[k]) for k in ("summary", "description"))
    return {
        "displayName": name,
        "documentation": {
            "subject": summary,
            "content": more,
            "mimeType": "text/markdown",
            "links": [{"displayName": "Runbook", "url": f"{RUNBOOKS}#{name.lower()}"}],
        },
        "severity": _SEVERITIES[rule["labels"]["severity"]],
        "userLabels": {"program": "hippoview"},
        "combiner": "OR",
        "conditions": [
            {
                "displayName": name,
                "conditionPrometheusQueryLanguage": {
                    "query": rule["expr"],
                    "duration": _seconds(rule.get("for", "0s")),
                    "evaluationInterval": "30s",
                    "alertRule": name,
                    "ruleGroup": "hippoview",
                },
            }
        ],
        "alertStrategy": {"autoClose": "1800s"},
    }


def _seconds(text: str) -> str:
    units = {"s": 1, "m": 60, "h": 3600}
    return f"{int(text[:-1]) * units[text[-1]]}s"


if __name__ == "__main__":
    for file, policy in policies().items():
        (FOLDER / "gcp" / file).write_text(json.dumps(policy, indent=2) + "\n")
