"""Prometheus metrics of this process: what is counted as it happens. No label is a patient's.

What is asked of the database when somebody scrapes is in `app.monitoring`.
"""

import resource
import sys
from typing import TYPE_CHECKING

from loguru import logger
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from core.cases.case import confidence_of
from core.predictor.service import Predictors

if TYPE_CHECKING:
    from loguru import Message

    from core.pipeline import Analysis

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_MM3 = (250, 500, 750, 1000, 1250, 1500, 1750, 2000, 2250, 2500, 3000, 4000, 6000)
_DICE = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_LEVELS = ("WARNING", "ERROR")
_CONFIDENCES = ("high", "check", "unreliable", "not judged")

# The registry is the process's own state by the library's design, like the log.
_REGISTRY = CollectorRegistry()
ProcessCollector(registry=_REGISTRY)
_SCANS = Counter(
    "hippoview_scans", "Scans by origin and outcome.", ("origin", "outcome"), registry=_REGISTRY
)
_STEP_SECONDS = Histogram(
    "hippoview_step_seconds", "Time of each step of a scan.", ("step",),
    buckets=_SECONDS, registry=_REGISTRY,
)  # fmt: skip
_VOLUME = Histogram(
    "hippoview_volume_mm3",
    "Volumes as the model drew them, in mm3; of a head those of its two sides together.",
    ("kind", "part"), buckets=_MM3, registry=_REGISTRY,
)  # fmt: skip
_CONFIDENCE = Counter(
    "hippoview_confidence", "Scans by how far their masks can be trusted.", ("kind", "confidence"),
    registry=_REGISTRY,
)  # fmt: skip
_EXPECTED = Histogram(
    "hippoview_expected_dice", "Overlap with an expert's mask to expect.", ("kind",),
    buckets=_DICE, registry=_REGISTRY,
)  # fmt: skip
_LOGGED = Counter(
    "hippoview_log_lines", "Warnings and errors in the log.", ("level",), registry=_REGISTRY
)
_WAITING = Gauge("hippoview_queue_waiting", "Scans that wait for their turn.", registry=_REGISTRY)
_PEAK = Gauge(
    "hippoview_peak_memory_bytes", "Most resident memory so far in bytes.", registry=_REGISTRY
)
_READY = Gauge("hippoview_ready", "1 once the model can serve.", registry=_REGISTRY)
# A series that is not there yet cannot be told from one that never rose.
for _level in _LEVELS:
    _LOGGED.labels(_level)
for _kind in ("crop", "head"):
    for _word in _CONFIDENCES:
        _CONFIDENCE.labels(_kind, _word)
for _origin in ("page", "api", "receiver", "site"):
    for _outcome in ("segmented", "refused", "busy", "gone", "failed"):
        _SCANS.labels(_origin, _outcome)


def count(origin: str, outcome: str) -> None:
    """Count a scan. Outcome: segmented, refused, busy, gone or failed."""
    _SCANS.labels(origin, outcome).inc()


def time_steps(timings_s: dict[str, float]) -> None:
    """Record the seconds of each step of one scan."""
    for step, seconds in timings_s.items():
        _STEP_SECONDS.labels(step).observe(seconds)


def record_result(analysis: "Analysis") -> None:
    """Record volumes, confidence and expected overlap of one scan."""
    record = analysis.as_dict()
    kind = "head" if record["head"] else "crop"
    measures = analysis.measures
    for part, sizes in (("anterior", measures.anterior), ("posterior", measures.posterior)):
        _VOLUME.labels(kind, part).observe(sizes.volume_mm3)
    _CONFIDENCE.labels(kind, confidence_of(record) or "not judged").inc()
    if expected := record["trust"]["expected_dice"]:
        _EXPECTED.labels(kind).observe(expected["whole"])


def count_log_lines() -> None:
    """Count the warnings and errors that the log gets from now on."""

    def count_line(message: "Message") -> None:
        level = message.record["level"].no
        _LOGGED.labels("ERROR" if level >= logger.level("ERROR").no else "WARNING").inc()

    logger.add(count_line, level="WARNING")


def watch(predictors: Predictors) -> None:
    """Report queue length and readiness of these predictors from now on."""
    _WAITING.set_function(lambda: predictors.serving.waiting if predictors.serving else 0)
    _PEAK.set_function(peak_memory_bytes)
    _READY.set_function(lambda: predictors.serving is not None)


def peak_memory_bytes() -> float:
    """Peak resident memory of this process so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)


def text() -> bytes:
    """All metrics in Prometheus's text format."""
    return generate_latest(_REGISTRY)


def mean_seconds() -> dict[str, dict[str, float]]:
    """For each step of a scan: how many were timed and their mean in seconds."""
    sums: dict[str, dict[str, float]] = {}
    for sample in next(iter(_STEP_SECONDS.collect())).samples:
        if sample.name.endswith(("_sum", "_count")):
            part = sample.name.rpartition("_")[2]
            sums.setdefault(sample.labels["step"], {})[part] = sample.value
    return {
        step: {"count": values["count"], "mean_s": round(values["sum"] / values["count"], 4)}
        for step, values in sums.items()
    }


def scan_counts() -> dict[str, int]:
    """How many scans came to which outcome since the start."""
    counts: dict[str, int] = {}
    for sample in next(iter(_SCANS.collect())).samples:
        if sample.name.endswith("_total") and sample.value:
            outcome = sample.labels["outcome"]
            counts[outcome] = counts.get(outcome, 0) + int(sample.value)
    return counts
