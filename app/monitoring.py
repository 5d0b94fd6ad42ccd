"""Prometheus metrics of the installation's state, asked for when somebody scrapes.

Labels are of sets that the code or the settings bound; none is a patient's. A part that cannot be
asked for now is told by ``hippoview_part_unknown``, and the others stay.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.operations import cases_health
from app.services import Services
from core.drift.effects import effects_of
from core.drift.kinds import KINDS
from core.errors import HippoViewError
from core.people.acting import SERVER, acting_as

_DRIFT_STATES = ("not followed", "quiet", "watch", "act")
_JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled", "lost")
_CASES_STATES = ("ready", "taking in", "failing")


def text(shared: Services) -> bytes:
    """The metrics in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_State(shared))
    with acting_as(SERVER):
        return generate_latest(registry)


class _State(Collector):
    def __init__(self, shared: Services) -> None:
        self._shared = shared

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing beforehand: else it would be collected twice."""
        yield from ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """See `Collector`."""
        unknown = _gauge("part_unknown", "1 where a part could not be asked for.", "part")
        parts: dict[str, Callable[[Services], list[GaugeMetricFamily]]] = {
            "queue": _queue, "drift": _drift, "model": _model, "training": _training,
            "disk": _disk, "cases": _cases, "audit": _audit, "notices": _notices, "sites": _sites,
        }  # fmt: skip
        for name, part in parts.items():
            try:
                families = part(self._shared)
            except (HippoViewError, OSError):
                unknown.add_metric([name], 1)
            else:
                unknown.add_metric([name], 0)
                yield from families
        yield unknown


def _queue(shared: Services) -> list[GaugeMetricFamily]:
    return [
        _one("queue_size", "Scans that may wait before the next is refused.",
             shared.settings.queue_size),
        _one("model_failed", "1 while the version that should serve cannot.",
             shared.predictors.failure is not None),
    ]  # fmt: skip


def _drift(shared: Services) -> list[GaugeMetricFamily]:
    state = _gauge("drift_state", "1 for the state that crops or heads are in.", "kind", "state")
    scans = _gauge("drift_scans", "Scans that are followed since the last promotion.", "kind")
    evidence = _gauge("drift_evidence", "Evidence of the feature that moved most.", "kind")
    threshold = _gauge("drift_threshold", "Evidence at which a state begins.", "kind", "state")
    shift = _gauge(
        "drift_shift_sd",
        "Median distance of the newest 20 scans from the reference, in its standard deviations.",
        "kind", "feature",
    )  # fmt: skip
    for kind in KINDS:
        chain = shared.drift.latest.get(kind)
        now = chain.severity if chain else "not followed"
        for each in _DRIFT_STATES:
            state.add_metric([kind, each], each == now)
        if chain is None:
            continue
        scans.add_metric([kind], chain.scans)
        evidence.add_metric([kind], chain.level)
        threshold.add_metric([kind, "watch"], chain.thresholds.watch)
        threshold.add_metric([kind, "act"], chain.thresholds.act)
        for feature, away_sd in effects_of(shared.cases.acts.engine, chain).items():
            shift.add_metric([kind, feature], away_sd)
    return [state, scans, evidence, threshold, shift]


def _model(shared: Services) -> list[GaugeMetricFamily]:
    version = shared.registry.serving().number
    return [_one("model_version", "Number of the version that should serve.", version)]


def _training(shared: Services) -> list[GaugeMetricFamily]:
    jobs = shared.jobs.find()
    count = _gauge("jobs", "Trainings by their state.", "state")
    for state in _JOB_STATES:
        count.add_metric([state], sum(job.state == state for job in jobs))
    signs = [job.heartbeat_at or job.started_at for job in jobs if job.state == "running"]
    silent = max((_seconds_since(at) for at in signs if at), default=0.0)
    return [
        count,
        _one("job_silent_seconds", "Since the last sign of the training that runs.", silent),
    ]


def _disk(shared: Services) -> list[GaugeMetricFamily]:
    disk = shutil.disk_usage(shared.settings.data_dir)
    return [
        _one("disk_free_bytes", "Free on the data folder's disk.", disk.free),
        _one("disk_total_bytes", "Size of the data folder's disk.", disk.total),
        _one("memory_available_bytes", "Memory that programs can still have.",
             psutil.virtual_memory().available),
    ]  # fmt: skip


def _cases(shared: Services) -> list[GaugeMetricFamily]:
    health = cases_health(shared)
    state = _gauge("cases_state", "1 for how far the storage's cases are on the list.", "state")
    for each in _CASES_STATES:
        state.add_metric([each], each == health["state"])
    return [
        _one("cases", "Cases on the list.", shared.cases.count()),
        state,
        _one("cases_damaged", "Cases whose records cannot be read.", health["damaged"]),
        _one("cases_overdue", "Deleted cases that could not be removed for good in time.",
             health["overdue"]),
    ]  # fmt: skip


def _audit(shared: Services) -> list[GaugeMetricFamily]:
    watch = shared.outside.audit_watch
    check = watch.latest
    checked_at_s = check.at_s if check else watch.began_at_s
    families = [
        _one(
            "audit_check_timestamp_seconds",
            "When the trail was checked last; before the first check, when the server started.",
            checked_at_s,
        )
    ]
    if check:
        families += [
            _one("audit_lines", "Lines of the trail.", check.lines),
            _one("audit_faults", "What the check found not to be as it was written.", check.faults),
        ]
    return families


def _notices(shared: Services) -> list[GaugeMetricFamily]:
    waiting = _gauge("notices_waiting", "Messages about drift that were not taken yet.", "channel")
    oldest = _gauge("notices_oldest_seconds", "How long the oldest of them waits.", "channel")
    for channel, those in shared.outside.notices.waiting().items():
        waiting.add_metric([channel], those.count)
        oldest.add_metric([channel], _seconds_since(those.oldest_at) if those.oldest_at else 0)
    return [waiting, oldest]


def _sites(shared: Services) -> list[GaugeMetricFamily]:
    state = _gauge(
        "site_drift_state", "1 for the state that another site's scans are in.",
        "site", "kind", "state",
    )  # fmt: skip
    for found in shared.outside.sites.find():
        for each in _DRIFT_STATES[1:]:
            state.add_metric([found.site, found.kind, each], each == found.severity)
    return [state]


def _seconds_since(at: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hippoview_{name}", words, labels=labels)


def _one(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hippoview_{name}", words, value=value)
