"""Whether the trail is as it was written: nothing changed, removed, moved or cut off."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from sqlalchemy import Connection, Engine, select

from core.people.audit import Line, chain_at, chained, trail_end, trail_of
from core.people.audit_archive import Archive, DamagedArchiveError, folder_of
from core.people.audit_checkpoint import Checkpoint, CheckpointFile, DamagedCheckpointError
from core.state.database import reading
from core.state.storage import Storage
from core.state.tables import TRAIL


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes
    ----------
    lines : int
        Lines of this database's trail.
    faults : list of str
        What is not as it was written; empty if all is well.
    notes : list of str
        Where the trail began anew, and other trails of the storage.
    """

    lines: int
    faults: list[str]
    notes: list[str]


def verify(engine: Engine, storage: Storage) -> Verified:
    """Look at every line of the database, at the checkpoints, and at the storage's copies.

    Raises
    ------
    StorageError
        The database or the storage cannot be read.
    """
    archive = Archive(engine, storage)
    copies: dict[str, list[Line]] = {}
    faults = list[str]()
    for name in archive.trails():
        try:
            copies[name] = archive.lines_of(name)
        except DamagedArchiveError as error:
            faults.append(f"Trail {name}: {error.message}")
    checkpoint = trail_of(engine).checkpoint
    told = _told(checkpoint)
    with reading(engine) as connection:
        lines = _lines(connection)
        faults = faults_of(lines) + _against_checkpoint(connection, told) + faults
        head = trail_end(connection)
        own = folder_of(connection, head) if head else ""
        faults += _ended(connection, checkpoint, copies)
    notes = [
        f"Line {line.number}, {line.at[:19]}: {line.note.partition('; ')[2] or line.note}"
        for line in lines if line.act == "begin"
    ]  # fmt: skip
    for name, copied in copies.items():
        faults += [f"Trail {name} in the storage: {fault}" for fault in faults_of(copied)]
        if name != own:
            notes.append(f"Trail {name} in the storage: {len(copied):,} lines")
        if head is not None and name.startswith(head.trail) and copied != lines[: len(copied)]:
            faults.append(f"The database is not what was copied to the storage as {name}")
    return Verified(len(lines), faults, notes)


def faults_of(lines: Sequence[Line]) -> list[str]:
    """What is wrong within a trail: at most the first gap, and the first line that is changed."""
    chain = ""
    for place, line in enumerate(lines, 1):
        if line.number != place:
            return [f"Line {place} is missing"]
        *values, own = astuple(line)
        if not all(isinstance(value, str) for value in (*values[1:], own)):
            return [f"Line {place} is damaged"]
        if chained(chain, values) != own:
            return [f"Line {place} was changed, or the one before it was"]
        chain = own
    return []


def faults_here(connection: Connection, checkpoint: CheckpointFile) -> list[str]:
    """What is wrong with a database's trail, by itself and by its checkpoint."""
    return faults_of(_lines(connection)) + _against_checkpoint(connection, _told(checkpoint))


def _lines(connection: Connection) -> list[Line]:
    rows = connection.execute(select(TRAIL).order_by(TRAIL.c.number))
    return [Line(*row) for row in rows]


def _told(file: CheckpointFile) -> Checkpoint | DamagedCheckpointError | None:
    """What the checkpoint says, read before the database: that has it by then, and may have more.

    The other way round, a line that another process writes in between looks cut off.
    """
    try:
        return file.read()
    except DamagedCheckpointError as error:
        return error


def _against_checkpoint(
    connection: Connection, told: Checkpoint | DamagedCheckpointError | None
) -> list[str]:
    head = trail_end(connection)
    if isinstance(told, DamagedCheckpointError):
        return [told.message]
    if told is None:
        return ["There is no checkpoint"] if head else []
    if head is None or told.trail != head.trail:
        return [f"The checkpoint is of another trail ({told.trail}, {told.number:,} lines)"]
    chain = chain_at(connection, told.number)
    if chain is None:
        return [f"The trail was cut: its checkpoint names line {told.number:,}"]
    return [] if chain == told.chain else [f"The trail was written anew up to line {told.number:,}"]


def _ended(
    connection: Connection, file: CheckpointFile, copies: dict[str, list[Line]]
) -> list[str]:
    """Lines that an earlier checkpoint names and that are nowhere any more."""
    faults = list[str]()
    try:
        ended = file.ended()
    except DamagedCheckpointError as error:
        return [f"An earlier checkpoint: {error.message}"]
    head = trail_end(connection)
    for told in ended:
        if head is not None and told.trail == head.trail:
            if chain_at(connection, told.number) != told.chain:
                faults.append(f"The trail was cut or written anew up to line {told.number:,}")
            continue
        if not any(_has(copied, told) for copied in copies.values()):
            most = max((len(c) for n, c in copies.items() if n.startswith(told.trail)), default=0)
            faults.append(
                f"Trail {told.trail} had {told.number:,} lines; {most:,} of them are in the storage"
            )
    return faults


def _has(lines: Sequence[Line], told: Checkpoint) -> bool:
    return len(lines) >= told.number and lines[told.number - 1].chain == told.chain
