"""The administrator's part of the API: model versions, trainings, rules, drift, operations."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app import rules
from app.http.bodies import SmallRoute
from app.http.held import Held
from app.http.sign_in import require_admin
from app.operations import drift_of_cases, status
from core.drift.of_cases import OLDER
from core.models.registry import Version
from core.training.config import TrainingRequest
from core.training.data.reviewed import follow_before
from core.training.jobs import Job
from core.training.rules import RuleSettings

Administrator = Annotated[str, Depends(require_admin)]
# What a database can hold.
_MOST = 2**31 - 1
Number = Annotated[int, Path(ge=0, le=_MOST)]
Counted = Annotated[int, Query(ge=0, le=_MOST)]


class NewPromotion(BaseModel):
    """Why a version is put into service although the gate stops it."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""


class NewTraining(BaseModel):
    """What to train."""

    dataset: str
    preset: str = "quick"
    overrides: Annotated[list[str], Field(default_factory=list, max_length=20)]


class NewRules(BaseModel):
    """Which rules ask for trainings; see `core.training.rules.RuleSettings`."""

    model_config = ConfigDict(extra="forbid")

    after_cases: int = 0
    on_drift: bool = False
    preset: str = "quick"
    pause_days: int = 7


def router() -> APIRouter:
    """Routes below ``/api/admin``; each requires the administrator."""
    routes = APIRouter(
        prefix="/admin", tags=["admin"], dependencies=[Depends(require_admin)],
        route_class=SmallRoute,
    )  # fmt: skip
    routes.get("/versions")(versions)
    routes.get("/versions/{number}/gate")(gate)
    routes.post("/versions/{number}/promote")(promote)
    routes.get("/history")(history)
    routes.get("/versions/{number}/shadow")(shadow)
    routes.post("/versions/{number}/shadow")(switch_shadow_on)
    routes.delete("/versions/{number}/shadow")(switch_shadow_off)
    routes.post("/roll-back")(roll_back)
    routes.get("/jobs")(jobs)
    routes.post("/jobs", status_code=201)(train)
    routes.get("/jobs/{job_id}")(job)
    routes.get("/jobs/{job_id}/log", response_class=Response)(log)
    routes.post("/jobs/{job_id}/cancel")(cancel)
    routes.post("/jobs/{job_id}/resume")(resume)
    routes.get("/rules")(rules_now)
    routes.put("/rules")(set_rules)
    routes.get("/drift")(drift)
    routes.get("/status")(state)
    return routes


def versions(shared: Held) -> list[dict[str, Any]]:
    """All model versions, the newest first."""
    return [_version(version) for version in shared.registry.find()]


def gate(shared: Held, number: Number) -> dict[str, Any]:
    """What the gate says of a version against the one in service, a line for each check."""
    verdict = shared.judge(number)
    return {
        "version": verdict.after,
        "against": verdict.before,
        "passed": verdict.passed,
        "checks": [vars(check) for check in verdict.checks],
        "objections": [vars(check) for check in verdict.objections],
    }


def promote(
    shared: Held, number: Number, by: Administrator, asked: NewPromotion | None = None
) -> dict[str, Any]:
    """Put a version into service, through the gate; requests go on meanwhile."""
    shared.promote(number, by=by, reason=asked.reason if asked else "")
    return _version(shared.registry.get(number))


def shadow(shared: Held, number: Number) -> dict[str, Any]:
    """A version as the shadow of the one in service: figures between the masks of the two."""
    return shared.shadow.report(number).as_dict()


def switch_shadow_on(shared: Held, number: Number) -> dict[str, Any]:
    """Segment delivered scans with this version too, while nobody waits; only to compare."""
    shared.shadow.switch_on(number)
    return shared.shadow.report(number).as_dict()


def switch_shadow_off(shared: Held, number: Number) -> dict[str, Any]:
    """End it; the figures stay."""
    shared.shadow.switch_off(number)
    return shared.shadow.report(number).as_dict()


def roll_back(shared: Held, by: Administrator, version: Counted | None = None) -> dict[str, Any]:
    """Put the version into service that served before this one.

    With ``version`` only if it is that one: else a second call would go back by two.
    """
    return _version(shared.registry.get(shared.roll_back(version, by=by)))


def history(shared: Held) -> list[dict[str, Any]]:
    """What was put into service when, by whom and why; the newest first."""
    return [
        {"at": entry.at, "version": entry.number, "action": entry.action, **vars(entry.note)}
        for entry in shared.registry.history()
    ]


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


def job(shared: Held, job_id: Number) -> dict[str, Any]:
    """One training with its epochs."""
    return _job(shared.jobs.get(job_id)) | {"epochs": shared.jobs.epochs(job_id)}


def log(shared: Held, job_id: Number) -> Response:
    """The end of a training's log."""
    return Response(shared.jobs.log(job_id), media_type="text/plain; charset=utf-8")


def cancel(shared: Held, job_id: Number) -> dict[str, Any]:
    """End a training now."""
    shared.jobs.cancel(job_id)
    return _job(shared.jobs.get(job_id))


def resume(shared: Held, job_id: Number) -> dict[str, Any]:
    """Queue a training again; it goes on from its last epoch."""
    shared.jobs.resume(job_id)
    return _job(shared.jobs.get(job_id))


def rules_now(shared: Held) -> dict[str, Any]:
    """Which rules ask for trainings, and what they wait for."""
    return rules.state(shared)


def set_rules(shared: Held, new: NewRules) -> dict[str, Any]:
    """Replace the rules; what they ask for stops before a promotion."""
    rules.save(shared, RuleSettings(**new.model_dump()))
    return rules.state(shared)


def drift(shared: Held, last: Counted = 50) -> dict[str, Any]:
    """The newest crops against the training of the version in service; under ``heads`` the heads.

    ``heads_left_out`` counts the heads that cannot be compared, now or later.
    """
    both = drift_of_cases(shared, last)
    return both.crops.as_dict() | {
        "heads_left_out": both.heads.left_out.get(OLDER, 0),
        "heads": both.heads.as_dict(),
    }


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
