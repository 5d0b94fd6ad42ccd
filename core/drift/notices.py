"""Messages about a change of the drift's state, by mail and to a webhook.

What was told last of crops and of heads is a row. A change of it and the messages are one
transaction, in which the chain is read again: however many processes look, one change makes one
message for each channel. Messages are sent afterwards, from the background, and again until the
other side took them: a process that is killed after it sent one and before it wrote so down sends
it once more, with the same key (`Idempotency-Key`, `Message-ID`). No message names a case.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger
from sqlalchemy import Connection, Engine, func, select

from core.drift.chains import Chain
from core.drift.effects import is_row_of
from core.drift.kinds import KINDS, Kind
from core.state.database import reading, timestamp
from core.state.tables import DRIFT_CHAINS, DRIFT_NOTICES, DRIFT_TOLD

# How long a process may take to send one before another may try; and the waits after failures.
_LEASE_S = 120.0
_AGAIN_S, _LONGEST_S, _MOST_DOUBLED = 30.0, 3600.0, 7
# An alarm of long ago helps nobody; and how long those that were sent are kept.
GIVEN_UP_AFTER_DAYS, _KEPT_DAYS = 3, 30
_DAY_S = 24 * 3600.0
_MOST_MOVED = 6


class NotSentError(Exception):
    """The other side did not take a message; the text is for the log."""


class Channel(Protocol):
    """A way to send a message."""

    name: str

    def send(self, key: str, content: Mapping[str, Any]) -> None:
        """Send it.

        Parameters
        ----------
        key
            The same for each try.

        Raises
        ------
        NotSentError
        """


@dataclass(frozen=True)
class Waiting:
    """Messages of a channel that were not taken yet.

    Attributes
    ----------
    oldest_at : str
        ISO 8601, UTC; empty where none waits.
    """

    count: int
    oldest_at: str


class Notices:
    """The messages of an installation.

    Parameters
    ----------
    engine
    channels
        Where to send them; none switches them off.
    """

    def __init__(self, engine: Engine, channels: tuple[Channel, ...] = ()) -> None:
        self._engine = engine
        self._channels = {channel.name: channel for channel in channels}

    def note(self, chains: Mapping[Kind, Chain | None]) -> None:
        """Write down what changed since it was told last.

        Parameters
        ----------
        chains
            Of `core.drift.watch.DriftWatch`. A kind that is not followed yet changes nothing.

        Raises
        ------
        StorageError
        """
        if not any(chains.values()) or not self._may_have_changed(chains):
            return
        with self._engine.begin() as connection:
            for kind in KINDS:
                if chain := chains.get(kind):
                    self._note(connection, chain)
            old = DRIFT_NOTICES.c.sent_at.between("0", timestamp(-_KEPT_DAYS * _DAY_S))
            connection.execute(DRIFT_NOTICES.delete().where(old))

    def send_due(self) -> None:
        """Send what is due, one after the other; what fails is tried again later.

        Raises
        ------
        StorageError
        """
        if not self._channels:
            return
        columns = (DRIFT_NOTICES.c.id, DRIFT_NOTICES.c.key, DRIFT_NOTICES.c.channel,
                   DRIFT_NOTICES.c.at, DRIFT_NOTICES.c.content, DRIFT_NOTICES.c.tries)  # fmt: skip
        with reading(self._engine) as connection:
            query = select(*columns).where(_waits(), DRIFT_NOTICES.c.due_at <= timestamp())
            due = connection.execute(query.order_by(DRIFT_NOTICES.c.id)).all()
        for row in due:
            channel = self._channels.get(row.channel)
            if row.at < timestamp(-GIVEN_UP_AFTER_DAYS * _DAY_S):
                self._end(row.id, "given up")
                logger.error("A message about drift was given up: {}", row.channel)
            elif channel is not None and self._claim(row.id, row.tries):
                self._send(channel, row.id, row.key, row.content, row.tries)

    def waiting(self) -> dict[str, Waiting]:
        """By channel, the messages that were not taken yet."""
        query = (
            select(DRIFT_NOTICES.c.channel, func.count(), func.min(DRIFT_NOTICES.c.at))
            .where(_waits())
            .group_by(DRIFT_NOTICES.c.channel)
        )
        with reading(self._engine) as connection:
            by_channel = {name: Waiting(n, at) for name, n, at in connection.execute(query)}
        return {name: by_channel.get(name, Waiting(0, "")) for name in self._channels}

    def _may_have_changed(self, chains: Mapping[Kind, Chain | None]) -> bool:
        with reading(self._engine) as connection:
            told = {row.kind: row.severity for row in connection.execute(select(DRIFT_TOLD))}
        return any(chain and told.get(kind) != chain.severity for kind, chain in chains.items())

    def _note(self, connection: Connection, chain: Chain) -> None:
        # As it is now: another process may have added a case since, and told of it.
        query = select(DRIFT_CHAINS.c.promotion, DRIFT_CHAINS.c.severity, DRIFT_CHAINS.c.scans)
        now = connection.execute(query.where(is_row_of(chain))).first()
        told = connection.execute(select(DRIFT_TOLD).where(DRIFT_TOLD.c.kind == chain.kind)).first()
        if now is None or (
            told and (now.severity, now.promotion) == (told.severity, told.promotion)
        ):
            return
        if told is not None and now.promotion < told.promotion:
            return  # this process has not seen the promotion yet
        before, at = told.severity if told else "quiet", timestamp()
        connection.execute(DRIFT_TOLD.delete().where(DRIFT_TOLD.c.kind == chain.kind))
        connection.execute(DRIFT_TOLD.insert().values(
            kind=chain.kind, promotion=now.promotion, severity=now.severity, at=at,
        ))  # fmt: skip
        if before == now.severity:
            return
        logger.info("Drift of {}s: {} (it was {})", chain.kind, now.severity, before)
        key = secrets.token_hex(16)
        content = _content(chain, before, now.severity, now.scans, at)
        for name in self._channels:
            connection.execute(DRIFT_NOTICES.insert().values(
                key=key, channel=name, at=at, content=json.dumps(content), due_at=at,
            ))  # fmt: skip

    def _claim(self, number: int, tries: int) -> bool:
        """Whether this process may send it now."""
        mine = (DRIFT_NOTICES.c.id == number) & (DRIFT_NOTICES.c.tries == tries) & _waits()
        with self._engine.begin() as connection:
            done = connection.execute(
                DRIFT_NOTICES.update()
                .where(mine)
                .values(tries=tries + 1, due_at=timestamp(_LEASE_S))
            )
        return done.rowcount == 1

    def _send(self, channel: Channel, number: int, key: str, content: str, tries: int) -> None:
        try:
            channel.send(key, json.loads(content))
        except NotSentError as error:
            wait_s = min(_AGAIN_S * 2 ** min(tries, _MOST_DOUBLED), _LONGEST_S)
            logger.warning("{}: a message about drift waits: {}", channel.name, error)
            with self._engine.begin() as connection:
                connection.execute(
                    DRIFT_NOTICES.update()
                    .where(DRIFT_NOTICES.c.id == number, DRIFT_NOTICES.c.tries == tries + 1)
                    .values(due_at=timestamp(wait_s))
                )
        else:
            self._end(number, "")

    def _end(self, number: int, word: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                DRIFT_NOTICES.update()
                .where(DRIFT_NOTICES.c.id == number, _waits())
                .values(sent_at=word or timestamp())
            )


def _waits() -> Any:
    return DRIFT_NOTICES.c.sent_at == ""


def _content(chain: Chain, before: str, now: str, scans: int, at: str) -> dict[str, Any]:
    """What is told: no case and no patient."""
    return {
        "event": "drift.state",
        "at": at,
        "kind": chain.kind,
        "state": now,
        "before": before,
        "model_version": chain.version,
        "scans": scans,
        "moved": [
            {
                "feature": moved.feature.key,
                "words": moved.feature.higher if moved.direction > 0 else moved.feature.lower,
                "since_scan": moved.first.number,
                "shift_sd": round(moved.away_sd, 2),
            }
            for moved in chain.moved[:_MOST_MOVED]
        ],
    }
