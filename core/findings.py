"""A finding: one result of a check, in words for a clinician."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["note", "warning"]


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    A ``note`` was handled and changes nothing; a ``warning`` asks for a look before the result
    is used. ``code`` is stable, for programs; ``message`` is one plain sentence or two.
    """

    level: Level
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """As exports and the API give it."""
        return {"level": self.level, "code": self.code, "message": self.message}
