"""The file that says where the trail ends, signed, outside of the database.

It is written after each act. Whoever cuts the end off the trail in the database, or writes the
whole chain anew, does not make it agree. It lies beside the database, or on another disk by the
setting HIPPOVIEW_AUDIT_CHECKPOINT.
"""

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from core.errors import StorageError

_RECORD_BYTES = 256
_SET_ASIDE = ".ended-"


@dataclass(frozen=True)
class Checkpoint:
    """How long a trail was at one moment, and the chain at its last line.

    Attributes
    ----------
    trail : str
        Id of the trail.
    number : int
        Of the last line.
    chain : str
    """

    trail: str
    number: int
    chain: str


class DamagedCheckpointError(StorageError):
    """A checkpoint cannot be read, or is not signed with this installation's key."""


class CheckpointFile:
    """The checkpoint of an installation.

    Parameters
    ----------
    path
    key
        Gives the key that it is signed with.
    """

    def __init__(self, path: Path, key: Callable[[], bytes]) -> None:
        self.path = path
        self._key = key

    def advance(self, trail: str, number: int, chain: str) -> None:
        """Write that the trail has grown; another process may have written more already.

        A file that cannot be written is said in the log: the act is done, and its line is there.
        """
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                before = _parsed(os.pread(handle, _RECORD_BYTES, 0))
                if before is None or before[0].trail != trail or before[0].number < number:
                    os.pwrite(handle, self._signed(Checkpoint(trail, number, chain)), 0)
            finally:
                os.close(handle)
        except (OSError, StorageError) as error:
            logger.error("The trail's checkpoint cannot be written: {}", type(error).__name__)

    def read(self) -> Checkpoint | None:
        """The checkpoint; None if there is no file.

        Raises
        ------
        DamagedCheckpointError
        """
        return self._read(self.path)

    def set_aside(self) -> None:
        """Keep a checkpoint that the database does not reach, and begin another."""
        for count in range(1, 1000):
            target = self.path.with_name(f"{self.path.name}{_SET_ASIDE}{count:03}")
            try:
                os.link(self.path, target)
            except FileExistsError:
                continue
            except OSError as error:
                logger.error("The trail's checkpoint cannot be kept: {}", error.strerror)
                return
            self.path.unlink()
            return

    def ended(self) -> list[Checkpoint]:
        """The checkpoints that were set aside, the oldest first.

        Raises
        ------
        DamagedCheckpointError
        """
        kept = sorted(self.path.parent.glob(f"{self.path.name}{_SET_ASIDE}*"))
        return [found for found in map(self._read, kept) if found is not None]

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedCheckpointError(
                "The checkpoint of the trail cannot be read", "Grant access to the file."
            ) from error
        parsed = _parsed(content)
        if parsed is None:
            raise DamagedCheckpointError(
                "The checkpoint of the trail is damaged", "Put it back from a backup."
            )
        checkpoint, signature = parsed
        if not hmac.compare_digest(signature, self._signature(checkpoint)):
            raise DamagedCheckpointError(
                "The checkpoint of the trail is not signed with this installation's key",
                "Set HIPPOVIEW_AUDIT_KEY to the key of before; else somebody else wrote it.",
            )
        return checkpoint

    def _signed(self, checkpoint: Checkpoint) -> bytes:
        record = vars(checkpoint) | {"signature": self._signature(checkpoint)}
        return json.dumps(record).encode().ljust(_RECORD_BYTES - 1) + b"\n"

    def _signature(self, checkpoint: Checkpoint) -> str:
        told = f"{checkpoint.trail} {checkpoint.number} {checkpoint.chain}"
        return hmac.digest(self._key(), told.encode(), hashlib.sha256).hex()


def _parsed(content: bytes) -> tuple[Checkpoint, str] | None:
    try:
        record = json.loads(content)
        checkpoint = Checkpoint(str(record["trail"]), int(record["number"]), str(record["chain"]))
        return checkpoint, str(record["signature"])
    except (ValueError, KeyError, TypeError):
        return None
