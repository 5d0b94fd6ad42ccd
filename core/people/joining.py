"""Accounts and tokens of two servers on one bucket, joined row by row.

What both knew last is the base: a row that only one has changed since is as that one has it, so
that neither takes back what the other did. Where both have changed an account, each changed field
counts, and one that either has switched off stays off.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from core.state.tables import ACCOUNTS, CODES, SESSIONS, TOKENS

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
TABLES = (ACCOUNTS, TOKENS)
# What a sign-in or a token was given for: with another one, it ends.
_ENDING = ("password_hash", "is_active")


def joined(base: Rows, ours: Rows, theirs: Rows) -> dict[str, list[Row]]:
    """The rows of each table, by the changes of both since the base.

    Parameters
    ----------
    base, ours, theirs
        By the table's name.
    """
    people = _joined(*(_by_id(rows[ACCOUNTS.name]) for rows in (base, ours, theirs)))
    people = _one_of_a_name(people)
    if not any(map(_can_administer, people)):
        people = list(theirs[ACCOUNTS.name])  # each has taken the right from the other's last one
    present = {row["id"] for row in people if row["is_active"]}
    tokens = _joined(*(_by_id(rows[TOKENS.name]) for rows in (base, ours, theirs)))
    kept = [row for row in tokens if row["account"] in present]
    return {ACCOUNTS.name: people, TOKENS.name: kept}


def put(connection: Connection, ours: Rows, rows: Rows) -> None:
    """Make the tables hold these rows; what an account has opened ends where it has to.

    Parameters
    ----------
    connection
        Of `core.people.audit.recording`.
    ours
        As the tables are.
    """
    before = {table.name: _by_id(ours[table.name]) for table in TABLES}
    after = {table.name: _by_id(rows[table.name]) for table in TABLES}
    for table in TABLES[::-1]:
        for gone in before[table.name].keys() - after[table.name].keys():
            connection.execute(delete(table).where(table.c.id == gone))
    for table in TABLES:
        for row_id, row in after[table.name].items():
            old = before[table.name].get(row_id)
            if old is None:
                connection.execute(table.insert().values(**row))
            elif old != row:
                connection.execute(table.update().where(table.c.id == row_id).values(**row))
                if table is ACCOUNTS and any(old[name] != row[name] for name in _ENDING):
                    for opened in (SESSIONS, CODES):
                        connection.execute(delete(opened).where(opened.c.account == row_id))


def rows_of(connection: Connection) -> dict[str, list[Row]]:
    """The rows of each table."""
    return {table.name: _rows(connection, table) for table in TABLES}


def _rows(connection: Connection, table: Table) -> list[Row]:
    query = select(table).order_by(table.c.id)
    return [dict(row._mapping) for row in connection.execute(query)]


def _by_id(rows: Sequence[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}


def _joined(base: dict[str, Row], ours: dict[str, Row], theirs: dict[str, Row]) -> list[Row]:
    rows = []
    for row_id in sorted(ours.keys() | theirs.keys()):
        old, own, other = (each.get(row_id) for each in (base, ours, theirs))
        row = other if own == old else own
        if own and other and old not in (own, other):
            row = {name: other[name] if own[name] == (old or {}).get(name) else own[name]
                   for name in own}  # fmt: skip
            if "is_active" in row:
                row["is_active"] = min(own["is_active"], other["is_active"])
        elif own != old and other != old:
            row = None  # revoked by one of them
        if row is not None:
            rows.append(row)
    return rows


def _one_of_a_name(people: list[Row]) -> list[Row]:
    """Both may have made one of a name, or of a provider's person: whoever was first has it."""
    first: dict[str, Row] = {}
    subjects = set()
    for row in sorted(people, key=lambda row: (row["created_at"], row["id"])):
        subject = row["issuer"], row["subject"]
        if row["name_key"] not in first and (not row["issuer"] or subject not in subjects):
            first[row["name_key"]] = row
            subjects.add(subject)
    return sorted(first.values(), key=lambda row: str(row["id"]))


def _can_administer(row: Row) -> bool:
    return bool(
        row["role"] == "administrator"
        and row["is_active"]
        and (row["password_hash"] or row["issuer"])
    )
