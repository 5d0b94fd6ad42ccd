"""A finding: one thing that a check saw, in words a clinician reads."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["note", "warning"]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    ``note`` was handled and changes nothing; ``warning`` asks for a look before the result
    is used. ``code`` is stable, for programs; ``message`` is one plain sentence or two.
    """

    level: Level
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """As it stands in exports and in the API."""
        return {"level": self.level, "code": self.code, "message": self.message}
