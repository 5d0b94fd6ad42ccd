"""Content of a file in one piece or in parts, so that a large one need not lie in the memory."""

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator

Content = bytes | Iterable[bytes]
PART_BYTES = 1024 * 1024


def whole(content: Content) -> bytes:
    """All of it in one piece."""
    if isinstance(content, bytes):
        return content
    held = io.BytesIO()  # it grows in place, and is handed over without a copy
    for part in content:
        held.write(part)
    return held.getvalue()


class Seen:
    """Hands on the parts of a file, and says afterwards whether another is the same.

    Parameters
    ----------
    parts
        Of the file.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts
        self._md5 = _md5()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self._md5.update(part)
            yield part

    @property
    def md5(self) -> str:
        """MD5 of what was handed on, in base64 as a bucket reports it."""
        return base64.b64encode(self._md5.digest()).decode()

    @classmethod
    def of(cls, parts: Iterable[bytes]) -> "Seen":
        """What is seen when all parts are read."""
        seen = cls(parts)
        for _ in seen:
            pass
        return seen


def _md5() -> "hashlib._Hash":
    # Against changes by others, not by an attacker.
    return hashlib.md5(usedforsecurity=False)
