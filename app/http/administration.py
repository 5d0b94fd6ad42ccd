"""The administrator's part of the API: model versions, trainings, drift, operations."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from app.http.bodies import SmallRoute
from app.http.held import Held
from app.http.sign_in import require_admin
from app.operations import drift_of_cases, status
from core.models.registry import Version
from core.training.config import TrainingRequest
from core.training.data.reviewed import follow_before
from core.training.jobs import Job


class NewTraining(BaseModel):
    """What to train."""

    dataset: str
    preset: str = "quick"
    overrides: Annotated[list[str], Field(default_factory=list, max_length=20)]


def router() -> APIRouter:
    """Routes below ``/api/admin``; each requires the administrator."""
    routes = APIRouter(
        prefix="/admin", tags=["admin"], dependencies=[Depends(require_admin)],
        route_class=SmallRoute,
    )  # fmt: skip
    routes.get("/versions")(versions)
    routes.post("/versions/{number}/promote")(promote)
    routes.post("/roll-back")(roll_back)
    routes.get("/jobs")(jobs)
    routes.post("/jobs", status_code=201)(train)
    routes.get("/jobs/{job_id}")(job)
    routes.get("/jobs/{job_id}/log", response_class=Response)(log)
    routes.post("/jobs/{job_id}/cancel")(cancel)
    routes.post("/jobs/{job_id}/resume")(resume)
    routes.get("/drift")(drift)
    routes.get("/status")(state)
    return routes


def versions(shared: Held) -> list[dict[str, Any]]:
    """All model versions, the newest first."""
    return [_version(version) for version in shared.registry.find()]


def promote(shared: Held, number: int) -> dict[str, Any]:
    """Put a version into service; requests go on meanwhile."""
    shared.promote(number)
    return _version(shared.registry.get(number))


def roll_back(shared: Held) -> dict[str, Any]:
    """Put the version into service that served before this one."""
    return _version(shared.registry.get(shared.roll_back()))


def jobs(shared: Held) -> list[dict[str, Any]]:
    """All trainings, the newest first."""
    return [_job(each) for each in shared.jobs.find()]


def train(shared: Held, training: NewTraining) -> dict[str, Any]:
    """Queue a training on a prepared data set."""
    request = TrainingRequest(training.dataset, training.preset, training.overrides)
    request.config()
    follow_before(request.dataset, shared.cases, shared.storage)
    shared.datasets.get(request.dataset)
    return _job(shared.jobs.submit(request.as_dict()))


def job(shared: Held, job_id: int) -> dict[str, Any]:
    """One training with its epochs."""
    return _job(shared.jobs.get(job_id)) | {"epochs": shared.jobs.epochs(job_id)}


def log(shared: Held, job_id: int) -> Response:
    """The end of a training's log."""
    return Response(shared.jobs.log(job_id), media_type="text/plain; charset=utf-8")


def cancel(shared: Held, job_id: int) -> dict[str, Any]:
    """End a training now."""
    shared.jobs.cancel(job_id)
    return _job(shared.jobs.get(job_id))


def resume(shared: Held, job_id: int) -> dict[str, Any]:
    """Queue a training again; it goes on from its last epoch."""
    shared.jobs.resume(job_id)
    return _job(shared.jobs.get(job_id))


def drift(shared: Held, last: int = 50) -> dict[str, Any]:
    """The newest cases against the training of the version in service."""
    comparison = drift_of_cases(shared, last)
    return comparison.drift.as_dict() | {"heads_left_out": comparison.heads}


def state(shared: Held) -> dict[str, Any]:
    """Health, queue, disk, memory, timings."""
    return status(shared)


def _version(version: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "stage": version.stage,
        "created_at": version.created_at,
        "sha256": version.sha256,
        "evaluations": version.of_kind(),
        "heads": version.of_kind("heads"),
        "latency": version.evaluations.get("latency"),
        "lineage": version.lineage,
    }


def _job(job: Job) -> dict[str, Any]:
    return vars(job) | {"resumable": job.resumable}
