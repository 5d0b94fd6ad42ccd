"""Figures that both the administrator's pages and routes show."""

import importlib.metadata
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from loguru import logger

from app import metrics
from app.services import Services
from core.cpus import usable_cpus
from core.drift import of_cases
from core.drift.kinds import Kind
from core.drift.known import Known
from core.drift.of_cases import CaseDrift
from core.errors import HippoViewError
from core.limits import MAX_HEAD_MEMORY_MIB, MIB, RULE_DRIFT_CASES, TRASH_DAYS
from core.training.config import FIRST_ITERATION_S, TrainingRequest, iteration_s
from core.training.data.dataset import REVIEWED_NAME, Dataset
from core.training.rules import now_utc

_GIB = 1024 * MIB
# Written by hand from what ``python -m benchmarks.start`` and ``benchmarks.head_memory`` printed,
# and what tests/core/image/test_voxels.py measures of the largest head.
_MEASURED = Path(__file__).parent / "measured.json"
MEMORY_WORDS = (
    "Measured on two cores, over twenty crops, and over heads as said: docs/performance.md. While "
    "a head of 512 x 512 x 512 voxels (int16) is segmented and stored, the server takes at most "
    f"{MAX_HEAD_MEMORY_MIB / 1024:.1f} GiB more than at rest; {{largest}} MiB were measured. The "
    "page holds an upload in memory besides."
).format(largest=json.loads(_MEASURED.read_bytes())["largest_head_mib"])
_PROGRAMS = ("streamlit", "openvino", "nnunetv2", "torch", "numpy", "nibabel")


def _version(program: str) -> str:
    try:
        return importlib.metadata.version(program)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def memory_rows() -> list[dict[str, str]]:
    """Current and peak resident memory of this server, beside measured reference values."""
    resident_mib = psutil.Process().memory_info().rss / MIB
    rows = [{"Server": "This one, now", "At rest (MiB)": f"{resident_mib:,.0f}",
             "Peak (MiB)": f"{metrics.peak_memory_bytes() / MIB:,.0f}"}]  # fmt: skip
    measured = json.loads(_MEASURED.read_bytes())["memory_mib"]
    return rows + [
        {"Server": f"{name}, measured", "At rest (MiB)": f"{own['rest']:,.0f}",
         "Peak (MiB)": f"{own['peak']:,.0f}"}
        for name, own in measured.items()
    ]  # fmt: skip


def drift_of_cases(shared: Services, last: int) -> CaseDrift:
    """Crops and heads one by one, and the newest, ``last`` of each; see `core.drift.of_cases`."""
    chains = shared.drift.look()
    return of_cases.drift_of_cases(shared.cases, shared.registry, shared.storage, last, chains)


def accept_normal(
    shared: Services, kind: Kind, case_ids: Sequence[str], reason: str, seen: Known
) -> None:
    """Accept cases as the new normal of their kind; see `core.drift.watch.DriftWatch.accept`."""
    shared.drift.accept(kind, case_ids, reason, seen)
    _end_alarm(shared)


def take_normal_back(shared: Services, kind: Kind, reason: str, seen: Known) -> None:
    """Undo it; see `core.drift.watch.DriftWatch.take_back`."""
    shared.drift.take_back(kind, reason, seen)


def _end_alarm(shared: Services) -> None:
    """No rule asks for a training because of what was accepted."""
    if drift_of_cases(shared, RULE_DRIFT_CASES).state not in ("watch", "act"):
        shared.rules.saw("quiet", now_utc())


def write_report_if_due(shared: Services) -> None:
    """Write the drift report of this week or month, if one is asked for and none is there.

    Never raises for what storage or database do: it is tried again.
    """
    if shared.predictors.serving is None:
        return  # a start: before, there may be no version to compare with
    try:
        shared.outside.reports.write_if_due(partial(drift_of_cases, shared))
    except HippoViewError as error:
        logger.warning("The drift report could not be written: {}", error.message)


def measured_iteration_s(shared: Services) -> float:
    """Seconds of a training iteration on this machine, from the last epoch that it finished."""
    for job in shared.jobs.find():
        epochs = shared.jobs.epochs(job.id)
        if epochs:
            return iteration_s(TrainingRequest(**job.spec).config(), epochs[-1].seconds)
    return FIRST_ITERATION_S


def heads_to_test_on(shared: Services, datasets: Sequence[Dataset]) -> int:
    """Whole heads that a training tests its version on: synthetic ones, and the reviewed ones."""
    reviewed = (d for d in datasets if d.name == REVIEWED_NAME)
    return shared.settings.test_heads + sum(len(d.test_heads) for d in reviewed)


def cases_health(shared: Services) -> dict[str, Any]:
    """Health of the cases: whether all are imported, and whether deleted ones are removed."""
    progress, trash = shared.cases.caretaker.progress, shared.cases.caretaker.trash
    state = "ready" if progress.finished else ("failing" if progress.failure else "taking in")
    return {
        "state": state, "taken_in": progress.done, "in_storage": progress.total,
        "failure": progress.failure, "damaged": progress.damaged,
        "overdue": trash.overdue, "overdue_because": trash.failure,
    }  # fmt: skip


def cases_words(health: dict[str, Any]) -> str:
    """A page's sentence about an incomplete import of cases; empty if all is well."""
    words = []
    if health["state"] != "ready":
        so_far = f"{health['taken_in']:,} of {health['in_storage']:,}"
        words.append(
            "Cases are still being taken in from the storage"
            + (f" ({so_far})." if health["in_storage"] else ".")
            + " One that is missing here opens by its id."
        )
    if health["failure"]:
        words.append(f"It does not go on: {health['failure']}. It is tried again.")
    return " ".join(words)


def damaged_words(health: dict[str, Any]) -> str:
    """The Operations page's sentence about unreadable cases; empty if there are none."""
    if not health["damaged"]:
        return ""
    return (
        f"Cases of the storage that were left alone, as their records are damaged: "
        f"{health['damaged']:,}. The log names them. Restore them from a backup."
    )


def trash_words(health: dict[str, Any]) -> str:
    """The Operations page's sentence about deleted cases that stay; empty if there are none."""
    if not health["overdue"]:
        return ""
    return (
        f"Deleted cases whose {TRASH_DAYS} days are over: {health['overdue']:,} could not be "
        f"removed for good. {health['overdue_because']}. It is tried again."
    )


def status(shared: Services) -> dict[str, Any]:
    """Health, queue, disk, memory, timings: what the Operations page shows."""
    shared.accounts.guard.require("watch")
    serving = shared.predictors.serving
    failure = shared.predictors.failure
    disk = shutil.disk_usage(shared.settings.data_dir)
    memory = psutil.virtual_memory()
    return {
        "state": "ready" if serving else ("failed" if failure else "loading"),
        "failure": failure.message if failure else None,
        "model_version": serving.model.version if serving else None,
        **(serving.as_dict() if serving else {"device": None}),
        "waiting": serving.waiting if serving else 0,
        "queue_size": shared.settings.queue_size,
        "jobs_active": sum(job.active for job in shared.jobs.find()),
        "cases": shared.cases.count(),
        "cases_health": cases_health(shared),
        "storage": shared.settings.storage or "local folder",
        "disk_free_gib": round(disk.free / _GIB, 1),
        "disk_total_gib": round(disk.total / _GIB, 1),
        "memory_used_mib": round(psutil.Process().memory_info().rss / MIB),
        "memory_free_gib": round(memory.available / _GIB, 1),
        "cores": usable_cpus(),
        "timings_s": metrics.mean_seconds(),
        "scans": metrics.scan_counts(),
        "programs": {name: _version(name) for name in _PROGRAMS},
    }
