"""The trail: who did what, when, from where; a chain of lines in the database, never changed.

How an act is done, everywhere::

    with recording(engine) as connection:
        connection.execute(...)                       # what the act changes
        record(connection, "review", case_mark, ...)  # its line, in the same transaction

A line is committed with the rows that it tells of, or neither is. Each carries a hash of itself and
of the line before, so that a changed, removed or moved one is found; `core.people.audit_verify`
looks for them. A line never names a patient or a case: what it is about is a keyed hash (`mark`),
and so is what was there before and after (`fingerprint`). Who knows the case finds its lines; once
it is forgotten nobody does.
"""

import hashlib
import hmac
import json
import secrets
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import Connection, Engine, func, select

from core.people.acting import Actor, actor
from core.people.audit_checkpoint import CheckpointFile, DamagedCheckpointError
from core.settings import Settings
from core.state.database import folder_of, reading, timestamp
from core.state.encryption import Keyring, derived
from core.state.keys import key_in_file
from core.state.tables import TRAIL

# Every kind of act, with what it is. A test finds each in the code, and none besides.
ACTS = {
    "begin": "a trail began, or was found shorter than it should be",
    "sign-in": "signed in",
    "refused": "was refused: a sign-in, or what a role may not do",
    "sign-out": "signed out",
    "view": "looked at a case",
    "upload": "had a scan segmented",
    "correction": "saved a mask",
    "review": "reviewed a case",
    "edit": "changed a case's name, patient or study",
    "export": "took something out",
    "search": "searched the PACS, or fetched a series from it",
    "delete": "deleted",
    "restore": "restored",
    "remove": "removed for good",
    "forget": "forgot a patient",
    "repair": "wrote a lost record again",
    "import": "took in what another server or program did",
    "version": "registered or judged a model version",
    "promote": "put a version into service",
    "override": "put a version into service against the gate",
    "roll back": "put the version of before into service",
    "training": "asked for, ended or resumed a training",
    "settings": "changed what holds for all",
    "people": "changed an account, a role, a group or a token",
    "backup": "copied everything into a backup",
}
KEY_FILE, CHECKPOINT_FILE = "trail.key", "trail.checkpoint"
_LINES, _TRAIL = "trail lines", "trail"
_MARK_LETTERS, _ID_LETTERS = 24, 16
_MOST_NOTE, _MOST_NAME, _MOST_WORD = 256, 128, 64


@dataclass(frozen=True)
class Line:
    """One act.

    Attributes
    ----------
    number : int
        From 1, without a gap.
    at : str
        ISO 8601, UTC.
    act : str
        One of `ACTS`.
    what : str
        What it is about: ``case MARK``, ``patient MARK``, ``version 3``, ``job 7``.
    who, name, role, address : str
        Of the `core.people.acting.Actor`.
    before, after : str
        Keyed hashes of what was there; empty where there was nothing, or nothing changed.
    note : str
        Further words, such as the state of a review or the kind of an export.
    chain : str
        SHA-256 of this line and of the chain of the line before, in hexadecimal.
    """

    number: int
    at: str
    act: str
    what: str
    who: str
    name: str
    role: str
    address: str
    before: str
    after: str
    note: str
    chain: str


COLUMNS = tuple(field.name for field in fields(Line))


@dataclass(frozen=True)
class TrailEnd:
    """Where a trail ends: its id, the number of its last line, and the chain up to there."""

    trail: str
    number: int
    chain: str


class Trail:
    """The trail of a database: its secret, and its checkpoint outside of the database.

    Parameters
    ----------
    key
        Gives the secret; called when it is first needed.
    checkpoint
        The file that says where the trail ends.
    """

    def __init__(self, key: Callable[[], bytes], checkpoint: Path) -> None:
        self._key = key
        self._secret: bytes | None = None
        self.checkpoint = CheckpointFile(checkpoint, lambda: self.derived("checkpoint"))

    def derived(self, purpose: str) -> bytes:
        """A key for one purpose.

        Raises
        ------
        StorageError
        """
        if self._secret is None:
            self._secret = self._key()
        return derived(self._secret, f"trail {purpose}")


_TRAILS: weakref.WeakKeyDictionary[Engine, Trail] = weakref.WeakKeyDictionary()


def set_up(engine: Engine, settings: Settings) -> Trail:
    """Keep the trail of a database with the key and the checkpoint of the settings."""
    secret = settings.audit_key or settings.origins_key
    folder = settings.data_dir
    checkpoint = Path(settings.audit_checkpoint or folder / CHECKPOINT_FILE)
    trail = Trail(secret.encode if secret else _key_of(folder, Keyring.of(settings)), checkpoint)
    _TRAILS[engine] = trail
    return trail


def trail_of(engine: Engine) -> Trail:
    """The trail of a database: as `set_up`, else as the environment's settings say."""
    trail = _TRAILS.get(engine)
    if trail is None:
        settings = Settings.from_environment()
        trail = set_up(engine, replace(settings, data_dir=folder_of(engine)))
    return trail


def _key_of(folder: Path, keys: Keyring) -> Callable[[], bytes]:
    lost = "nobody can tell whom a line of the trail is of"
    return lambda: key_in_file(folder / KEY_FILE, lost, keys)


@contextmanager
def recording(engine: Engine, *, needed: bool = True) -> Iterator[Connection]:
    """A transaction that writes, and the lines of what it does: both are committed, or neither.

    Parameters
    ----------
    engine
        What `core.state.database.connect` returned.
    needed
        Whether it is an error to leave no line. False where a transaction may find that there is
        nothing to do.

    Raises
    ------
    RuntimeError
        It left no line. Nothing was written.
    StorageError
    """
    lines: list[Line] = []
    with engine.begin() as connection:
        info = connection.info  # one that has broken meanwhile gives it no more
        info[_LINES] = lines
        try:
            yield connection
        finally:
            info.pop(_LINES, None)
        if needed and not lines:
            raise RuntimeError("an act without a line in the trail")
        head = trail_end(connection) if lines else None
        # A checkpoint that does not fit is evidence: it is not written over.
        is_fit = head is not None and _fits(connection, trail_of(engine).checkpoint, head)
    if head is not None and is_fit:
        trail_of(engine).checkpoint.advance(head.trail, head.number, head.chain)


def record(
    connection: Connection,
    act: str,
    what: str = "",
    *,
    before: str = "",
    after: str = "",
    note: str = "",
    by: Actor | None = None,
) -> None:
    """Write the line of an act.

    Parameters
    ----------
    connection
        Of `recording`.
    act
        One of `ACTS`.
    what
        What it is about; never a patient's name, nor a case's id: see `mark`.
    before, after
        See `fingerprint`.
    note
        Further words.
    by
        Who did it; by default who acts here.
    """
    if act not in ACTS:
        raise ValueError(f"{act!r} is no act that the trail knows")
    lines = connection.info[_LINES]
    last = _last(connection)
    if last is None:
        last = _begin(connection, lines)
    somebody = by or actor()
    _write(
        connection, lines, last[0] + 1, last[1], timestamp(), act, what, somebody, before, after,
        note,
    )  # fmt: skip


def record_alone(engine: Engine, act: str, what: str = "", **words: Any) -> None:
    """Write the line of an act that changes no row; see `record`.

    Raises
    ------
    StorageError
    """
    with recording(engine) as connection:
        record(connection, act, what, **words)


def mark(engine: Engine, kind: str, name: str) -> str:
    """What stands for a case or a patient: ``case 3f09...``, which tells nothing to others.

    Parameters
    ----------
    kind
        ``case`` or ``patient``.
    name
        Its id, or the patient's pseudonym.
    """
    digest = hmac.digest(trail_of(engine).derived(kind), name.encode(), hashlib.sha256)
    return f"{kind} {digest.hex()[:_MARK_LETTERS]}"


def fingerprint(engine: Engine, content: bytes) -> str:
    """A keyed hash of what was there before or after an act; equal contents give equal ones."""
    return hmac.digest(trail_of(engine).derived("content"), content, hashlib.sha256).hex()


def chained(before: str, values: Sequence[object]) -> str:
    """The chain after a line: a hash of the chain before it, and of its other fields in order."""
    content = json.dumps([before, *values], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def trail_end(connection: Connection) -> TrailEnd | None:
    """Where the trail of a database ends; None if it has no line."""
    last = _last(connection)
    first = connection.scalar(select(TRAIL.c.chain).where(TRAIL.c.number == 1))
    if last is None or first is None:
        return None
    return TrailEnd(str(first)[:_ID_LETTERS], last[0], last[1])


def chain_at(connection: Connection, number: int) -> str | None:
    """The chain at the line of a number; None if there is no such line."""
    chain: str | None = connection.scalar(select(TRAIL.c.chain).where(TRAIL.c.number == number))
    return chain


def lines(
    engine: Engine,
    *,
    since: str = "",
    until: str = "",
    who: str = "",
    act: str = "",
    what: str = "",
    most: int | None = None,
) -> list[Line]:
    """Lines of the trail, the newest first.

    Parameters
    ----------
    since, until
        Days, ISO 8601, both included.
    who
        Part of a name, of an account's id, or of an address.
    act
        One of `ACTS`.
    what
        What they are about; see `mark`.
    most
        How many at most.
    """
    query = select(TRAIL).order_by(TRAIL.c.number.desc()).limit(most)
    if since:
        query = query.where(TRAIL.c.at >= since)
    if until:
        query = query.where(func.substr(TRAIL.c.at, 1, len(until)) <= until)
    if act:
        query = query.where(TRAIL.c.act == act)
    if what:
        query = query.where(TRAIL.c.what == what)
    for word in who.split():
        query = query.where(
            TRAIL.c.name.icontains(word, autoescape=True)
            | TRAIL.c.who.icontains(word, autoescape=True)
            | TRAIL.c.address.icontains(word, autoescape=True)
        )
    with reading(engine) as connection:
        return [Line(*row) for row in connection.execute(query)]


def begin(connection: Connection, note: str) -> None:
    """Write a first line that says why the trail begins; see `core.people.audit_archive.open`."""
    _begin(connection, connection.info[_LINES], note)


def _begin(connection: Connection, lines: list[Line], note: str = "") -> tuple[int, str]:
    # Two trails never begin with the same line: the id of a trail is the hash of its first.
    own = f"trail {secrets.token_hex(8)}" + (f"; {note}" if note else "")
    _write(connection, lines, 1, "", timestamp(), "begin", "", actor(), "", "", own)
    return 1, lines[-1].chain


def _write(
    connection: Connection, lines: list[Line], number: int, chain: str, at: str, act: str,
    what: str, by: Actor, before: str, after: str, note: str,
) -> None:  # fmt: skip
    values = (
        number, at, act, _plain(what, _MOST_WORD), _plain(by.id, _MOST_WORD),
        _plain(by.name, _MOST_NAME), by.role, _plain(by.address, _MOST_WORD),
        _plain(before, _MOST_WORD), _plain(after, _MOST_WORD), _plain(note, _MOST_NOTE),
    )  # fmt: skip
    line = Line(*values, chain=chained(chain, values))
    connection.execute(TRAIL.insert().values(dict(zip(COLUMNS, astuple(line), strict=True))))
    lines.append(line)


def _fits(connection: Connection, checkpoint: CheckpointFile, head: TrailEnd) -> bool:
    """Whether the trail still holds what its checkpoint says."""
    try:
        told = checkpoint.read()
    except DamagedCheckpointError as error:
        logger.error("{}: python -m core audit verify", error.message)
        return False
    if told is None or (
        told.trail == head.trail and chain_at(connection, told.number) == told.chain
    ):
        return True
    logger.error("The trail is not what its checkpoint says: python -m core audit verify")
    return False


def _last(connection: Connection) -> tuple[int, str] | None:
    query = select(TRAIL.c.number, TRAIL.c.chain).order_by(TRAIL.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.number, row.chain)


def _plain(text: str, most: int) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)[:most]
