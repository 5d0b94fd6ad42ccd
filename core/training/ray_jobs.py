"""Trainings on a Ray cluster, by Ray's Jobs API over plain HTTP: no Ray package is needed here.

Each queued job becomes a Ray job that runs ``python -m core worker --job N`` on the cluster: lease,
fence, checkpoint and log are those of any worker, and Ray alone decides where and when it runs.
The Ray job's name says which start of the training it is for, so that many servers that do the
same submit it once; what is kept is the row of the job alone, and each look begins with what Ray
says (docs.ray.io, "Ray Jobs REST API").
"""

import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import requests
from loguru import logger
from sqlalchemy import Engine, Row, select

from core.errors import HippoViewError
from core.settings import ROOT, Settings
from core.state.database import reading
from core.state.tables import JOBS
from core.training import job_logs, job_rows

_EVERY_S = 3.0
_TIMEOUT_S = 20.0
_NAME = re.compile(r"hippoview-([0-9a-f]+)-(\d+)", re.ASCII)
_LIVE = ("PENDING", "RUNNING")
_LONGEST_WORDS = 300


class RayError(HippoViewError):
    """Ray does not answer, or refuses."""

    code = "ray_failed"


class Ray:
    """Submits, follows and stops the Ray jobs of an installation.

    Parameters
    ----------
    engine, settings
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, engine: Engine, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._due_at = clock()
        self._address = settings.ray_address.rstrip("/")
        self._session = requests.Session()
        if settings.ray_token:
            self._session.headers["Authorization"] = f"Bearer {settings.ray_token}"
        here = f"cd {shlex.quote(str(ROOT))} && exec {shlex.quote(sys.executable)} -m core worker"
        self._command = settings.ray_command or here
        parts = {"entrypoint_num_cpus": settings.ray_cpus, "entrypoint_num_gpus": settings.ray_gpus}
        self._parts = {name: count for name, count in parts.items() if count}
        self._live = True

    def tick(self) -> None:
        """Look once, if it is due: submit what is queued, stop what was cancelled."""
        if self._clock() < self._due_at:
            return
        self._due_at = self._clock() + _EVERY_S
        with reading(self._engine) as connection:
            rows = connection.execute(select(JOBS)).all()
        queued = [row for row in rows if row.state == "queued"]
        if not queued and not self._live:
            return
        try:
            listed = self._listed()
        except RayError as error:
            self._failed(error, queued)
            return
        self._live = bool(queued) or any(a["status"] in _LIVE for a in listed.values())
        for row in rows:
            try:
                for name, about in listed.items():
                    if name.startswith(f"hippoview-{row.uid}-"):
                        self._follow(row, name, about)
                if row.state == "queued" and name_of(row) not in listed:
                    self._submit(row)
            except RayError as error:  # of this one: the others go on
                self._failed(error, [row])

    def _failed(self, error: RayError, rows: Sequence[Row[Any]]) -> None:
        """Tell it where people look for their training."""
        logger.warning("{}", error.message)
        for row in rows:
            if row.state == "queued":
                self._say(row, f"{error.message}: it is tried again")

    def _follow(self, row: Row[Any], name: str, about: dict[str, Any]) -> None:
        """Do what a Ray job and its training's row say together."""
        start = int(name.rpartition("-")[2])
        if about["status"] in _LIVE:
            begun = start + 1 == row.attempt
            waits = row.state == "queued" and start == row.attempt
            if row.state == "cancelled" or not (begun or waits):
                self._call("POST", f"{name}/stop")
                logger.info("The Ray job of job {} is stopped", row.id)
            elif waits:
                self._say(row, f"Waiting for Ray. {_short(about.get('message'))}")
        elif start == row.attempt:  # it ended before it took the training
            if row.state == "queued" and about["status"] != "STOPPED":
                self._fail(row, name, _short(about.get("message")))
            self._call("DELETE", name)  # so that *Resume* can submit it again

    def _fail(self, row: Row[Any], name: str, why: str) -> None:
        logs = self._call("GET", f"{name}/logs").get("logs") or ""
        job_logs.write(self._engine, row.id, row.attempt, logs[-job_logs.TAIL_BYTES :])
        words = f"Ray ended it before it began: {why} The log says more."
        with self._engine.begin() as connection:
            job_rows.end(connection, row, "failed", words)

    def _submit(self, row: Row[Any]) -> None:
        body = {
            "entrypoint": f"{self._command} --job {row.id}",
            "submission_id": name_of(row),
            "metadata": {"hippoview_job": str(row.id)},
            **self._parts,
        }
        try:
            self._call("POST", "", body)
        except RayError:
            if name_of(row) not in self._listed():  # else another server was faster
                raise
        else:
            logger.info("Job {} was given to Ray", row.id)
        self._say(row, "Given to Ray, waits for its turn there")

    def _say(self, row: Row[Any], phase: str) -> None:
        if row.phase != phase:
            with self._engine.begin() as connection:
                job_rows.change(connection, row, phase=phase)

    def _listed(self) -> dict[str, dict[str, Any]]:
        """The Ray jobs that have a name of ours."""
        jobs = self._call("GET", "")
        names = ((job.get("submission_id") or "", job) for job in jobs)
        return {name: job for name, job in names if _NAME.fullmatch(name)}

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = self._session.request(
                method, f"{self._address}/api/jobs/{path}", json=body, timeout=_TIMEOUT_S,
                allow_redirects=False,
            )  # fmt: skip
            if answer.ok:
                return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise RayError(
                f"Ray does not answer ({type(error).__name__})",
                "Start it, or correct HIPPOVIEW_RAY_ADDRESS.",
            ) from error
        raise RayError(
            f"Ray refused with {answer.status_code}",
            "See its dashboard; HIPPOVIEW_RAY_TOKEN is needed where it asks for one.",
        )


def name_of(row: Row[Any]) -> str:
    """The name of the Ray job for the next start of a queued training."""
    return f"hippoview-{row.uid}-{row.attempt}"


def _short(words: str | None) -> str:
    return " ".join((words or "").split())[:_LONGEST_WORDS]
