"""What an administrator chose for the whole installation: a JSON object by name."""

import json
from typing import Any

from sqlalchemy import Connection, select

from core.state.tables import CHOICES


def chosen(connection: Connection, name: str) -> dict[str, Any]:
    """The object of a name; an empty one where nothing was chosen."""
    content = connection.scalar(select(CHOICES.c.content).where(CHOICES.c.name == name))
    return {} if content is None else dict(json.loads(content))


def choose(connection: Connection, name: str, content: dict[str, Any]) -> None:
    """Replace the object of a name; the connection is one that writes."""
    connection.execute(CHOICES.delete().where(CHOICES.c.name == name))
    connection.execute(CHOICES.insert().values(name=name, content=json.dumps(content)))
