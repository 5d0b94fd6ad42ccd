"""Rules that ask for a training on the reviewed cases: after some reviews, or on a drift alarm.

Off until an administrator switches one on. What a rule asks for is queued as anybody's training
and ends as a candidate: no rule promotes. `decide` is the rule itself, a function of what is known;
`Rules.ask` applies it within one transaction, so that of two servers one queues the training.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, select

from core.cases.store import Cases
from core.errors import InputError
from core.limits import MIN_DATASET_CASES
from core.people.audit import fingerprint, record, recording
from core.people.permission import Guard
from core.state.choices import choose, chosen
from core.state.database import reading
from core.state.tables import CASES, JOBS
from core.training import job_rows
from core.training.config import PRESETS, TrainingRequest
from core.training.data.dataset import REVIEWED_NAME
from core.training.data.reviewed import usable
from core.training.job_rows import Job
from core.wording import counted

_NAME = "rules"
_MOST_CASES, _MOST_DAYS = 10_000, 365
_UNSUCCESSFUL = ("failed", "cancelled", "lost")
# A person who cancels a training does not want it; one that failed was wanted.
_BROKE_OFF = ("failed", "lost")


@dataclass(frozen=True)
class RuleSettings:
    """What an administrator switched on.

    Attributes
    ----------
    after_cases : int
        Newly reviewed cases after which a training is asked for; 0 switches this rule off.
    on_drift : bool
        Whether a drift alarm asks for one.
    preset : str
        One of `core.training.config.PRESETS`.
    pause_days : int
        Days, at least 1, that rules wait after a training that one asked for, and after one on
        the reviewed cases that failed or was cancelled.
    """

    after_cases: int = 0
    on_drift: bool = False
    preset: str = "quick"
    pause_days: int = 7

    @property
    def any_on(self) -> bool:
        """Whether a rule is switched on."""
        return bool(self.after_cases or self.on_drift)

    def checked(self) -> "RuleSettings":
        """The settings themselves.

        Raises
        ------
        InputError
            A value is out of its range.
        """
        fits = {
            "after_cases": 0 <= self.after_cases <= _MOST_CASES,
            "preset": self.preset in PRESETS,
            "pause_days": 1 <= self.pause_days <= _MOST_DAYS,
        }
        for name, is_well in fits.items():
            if not is_well:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}",
                    f"after_cases goes from 0 to {_MOST_CASES}, pause_days from 1 to {_MOST_DAYS}; "
                    f"preset is one of: {', '.join(PRESETS)}.",
                    code="bad_rule",
                )
        return self


@dataclass(frozen=True)
class Alarm:
    """A drift alarm: from the first *act* to the next *quiet*.

    Attributes
    ----------
    since : str
        When *act* was seen first, ISO 8601, UTC.
    asked : bool
        Whether a training was asked for because of it. One that failed or was lost does not count:
        after the pause another is asked for.
    """

    since: str
    asked: bool = False


@dataclass(frozen=True)
class Facts:
    """What a decision depends on.

    Attributes
    ----------
    new_cases : int
        Cases reviewed since the last training on the reviewed cases that did not fail.
    usable : int
        Reviewed cases that can train a model.
    alarm : Alarm or None
    active : bool
        Whether a training is queued or running.
    paused_since : str
        When the last training began or ended after which rules pause; empty for never.
    """

    new_cases: int
    usable: int
    alarm: Alarm | None = None
    active: bool = False
    paused_since: str = ""


@dataclass(frozen=True)
class Decision:
    """What the rules say now.

    Attributes
    ----------
    rules : tuple of str
        Those that ask for a training: ``reviews``, ``drift``; empty where none does.
    reason : str
        Why, in words.
    waits : str
        Why none asks, in words; empty where one does or none is switched on.
    """

    rules: tuple[str, ...] = ()
    reason: str = ""
    waits: str = ""


@dataclass(frozen=True)
class _Kept:
    """What the database holds."""

    settings: RuleSettings = field(default_factory=RuleSettings)
    alarm: Alarm | None = None
    trouble: str = ""


def decide(settings: RuleSettings, facts: Facts, now: datetime) -> Decision:
    """Whether a training is to be queued."""
    if not settings.any_on:
        return Decision()
    reasons = {}
    if settings.after_cases and facts.new_cases >= settings.after_cases:
        reasons["reviews"] = counted(facts.new_cases, "newly reviewed case")
    if settings.on_drift and facts.alarm is not None and not facts.alarm.asked:
        reasons["drift"] = f"a drift alarm since {facts.alarm.since[:10]}"
    if not reasons:
        return Decision(waits=_progress(settings, facts))
    reason = " and ".join(reasons.values())
    if facts.usable < MIN_DATASET_CASES:
        there = f"{facts.usable} of the {MIN_DATASET_CASES} reviewed cases that it needs"
        return Decision(waits=f"A training is due ({reason}), but there are {there}")
    if facts.active:
        return Decision(waits=f"A training is due ({reason}), after the one that is under way")
    if facts.paused_since:
        until = datetime.fromisoformat(facts.paused_since) + timedelta(days=settings.pause_days)
        if now < until:
            return Decision(waits=f"A training is due ({reason}), not before {until:%Y-%m-%d}")
    return Decision(tuple(reasons), reason)


def alarm_after(before: Alarm | None, drift: str, now: datetime) -> Alarm | None:
    """The alarm once a drift state was seen.

    Parameters
    ----------
    drift
        `core.drift.comparison.Drift.state`. *watch* and *not enough yet* neither begin nor end an
        alarm.
    """
    if drift == "quiet":
        return None
    if drift == "act" and before is None:
        return Alarm(now.isoformat(timespec="seconds"))
    return before


class Rules:
    """The rules of one installation, in its database.

    Parameters
    ----------
    engine, cases
    """

    def __init__(self, engine: Engine, cases: Cases) -> None:
        self._engine = engine
        self._guard = Guard(engine)
        self._cases = cases

    def settings(self) -> RuleSettings:
        """What is switched on."""
        return self._kept().settings

    def alarm(self) -> Alarm | None:
        """The drift alarm that a rule has seen and that has not ended; None if there is none."""
        return self._kept().alarm

    def set(self, settings: RuleSettings) -> None:
        """Replace the settings.

        Raises
        ------
        InputError, AccessError, ForbiddenError
        """
        self._guard.require("settings")
        settings.checked()
        with recording(self._engine) as connection:
            kept = _read(connection)
            alarm = kept.alarm if settings.on_drift else None
            _write(connection, _Kept(settings, alarm))
            before, after = (
                fingerprint(self._engine, json.dumps(asdict(each)).encode())
                for each in (kept.settings, settings)
            )
            record(connection, "settings", "rules of trainings", before=before, after=after)

    def saw(self, drift: str, now: datetime) -> None:
        """Note a drift state, if it begins or ends an alarm."""
        if alarm_after(self.alarm(), drift, now) == self.alarm():
            return
        with self._engine.begin() as connection:
            kept = _read(connection)
            if kept.settings.on_drift:
                _write(connection, replace(kept, alarm=alarm_after(kept.alarm, drift, now)))

    def trouble(self) -> str:
        """Why the training that was asked for last could not be queued, in words."""
        return self._kept().trouble

    def note(self, trouble: str) -> None:
        """Keep why a training could not be queued; empty where it could."""
        if trouble != self.trouble():
            with self._engine.begin() as connection:
                _write(connection, replace(_read(connection), trouble=trouble))

    def reviews(self) -> list[str]:
        """When each reviewed case that can train a model was reviewed last, ISO 8601, UTC."""
        ids = {row.id for row in usable(self._cases)}
        with reading(self._engine) as connection:
            rows = connection.execute(select(CASES.c.id, CASES.c.reviewed_at)).all()
        return sorted(row.reviewed_at or "" for row in rows if row.id in ids)

    def look(self, now: datetime) -> Decision:
        """What the rules say now; nothing is queued."""
        reviews = self.reviews()
        with reading(self._engine) as connection:
            kept = _read(connection)
            return decide(kept.settings, _facts(connection, kept, reviews), now)

    def ask(self, now: datetime) -> Job | None:
        """Queue the training that the rules ask for; None where they ask for none any more."""
        reviews = self.reviews()
        with recording(self._engine, needed=False) as connection:
            kept = _read(connection)
            decision = decide(kept.settings, _facts(connection, kept, reviews), now)
            if not decision.rules:
                return None
            alarm = kept.alarm
            if alarm is not None and "drift" in decision.rules:
                alarm = replace(alarm, asked=True)
            _write(connection, replace(kept, alarm=alarm, trouble=""))
            request = TrainingRequest(REVIEWED_NAME, kept.settings.preset)
            rule = "+".join(decision.rules)
            return job_rows.queue(connection, request.as_dict(), rule, decision.reason)

    def _kept(self) -> _Kept:
        with reading(self._engine) as connection:
            return _read(connection)


def now_utc() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


def _progress(settings: RuleSettings, facts: Facts) -> str:
    words = []
    if settings.after_cases:
        words.append(f"{facts.new_cases} of {settings.after_cases} newly reviewed cases")
    if settings.on_drift:
        if facts.alarm is None:
            words.append("no drift alarm")
        else:
            words.append(f"for the drift alarm since {facts.alarm.since[:10]} one was asked for")
    sentence = ", ".join(words)
    return sentence[0].upper() + sentence[1:]


def _facts(connection: Connection, kept: _Kept, reviews: Sequence[str]) -> Facts:
    jobs = [job_rows.as_job(row) for row in connection.execute(select(JOBS))]
    on_reviewed = [job for job in jobs if job.spec.get("dataset") == REVIEWED_NAME]
    trained = [j for j in on_reviewed if j.state not in _UNSUCCESSFUL]
    trained_at = max((j.created_at for j in trained), default="")
    pausing = [j for j in on_reviewed if j.rule or j.state in _UNSUCCESSFUL]
    return Facts(
        sum(at > trained_at for at in reviews), len(reviews), _answered(kept.alarm, jobs),
        any(job.active for job in jobs),
        max((j.ended_at or j.created_at for j in pausing), default=""),
    )  # fmt: skip


def _answered(alarm: Alarm | None, jobs: Sequence[Job]) -> Alarm | None:
    """The alarm; not asked for if the newest training that it asked for broke off."""
    if alarm is None or not alarm.asked:
        return alarm
    because = [job for job in jobs if "drift" in job.rule.split("+")]
    newest = max(because, key=lambda job: job.id, default=None)
    return replace(alarm, asked=newest is None or newest.state not in _BROKE_OFF)


def _read(connection: Connection) -> _Kept:
    content = chosen(connection, _NAME)
    alarm: dict[str, Any] | None = content.get("alarm")
    settings = RuleSettings(**content.get("settings", {}))
    return _Kept(settings, Alarm(**alarm) if alarm else None, content.get("trouble", ""))


def _write(connection: Connection, kept: _Kept) -> None:
    choose(connection, _NAME, asdict(kept))
