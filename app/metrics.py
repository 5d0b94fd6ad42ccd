"""Prometheus metrics of this process."""

import resource
import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from core.predictor.service import Predictors

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

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
_WAITING = Gauge("hippoview_queue_waiting", "Scans that wait for their turn.", registry=_REGISTRY)
_PEAK = Gauge(
    "hippoview_peak_memory_bytes", "Most resident memory so far in bytes.", registry=_REGISTRY
)
_READY = Gauge("hippoview_ready", "1 once the model can serve.", registry=_REGISTRY)


def count(origin: str, outcome: str) -> None:
    """Count a scan. Outcome: segmented, refused, busy, gone or failed."""
    _SCANS.labels(origin, outcome).inc()


def time_steps(timings_s: dict[str, float]) -> None:
    """Record the seconds of each step of one scan."""
    for step, seconds in timings_s.items():
        _STEP_SECONDS.labels(step).observe(seconds)


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
        if sample.name.endswith("_total"):
            outcome = sample.labels["outcome"]
            counts[outcome] = counts.get(outcome, 0) + int(sample.value)
    return counts
