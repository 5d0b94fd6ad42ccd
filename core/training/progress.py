"""How a training reports progress: to the database for a job, else to a file."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from loguru import logger

from core.errors import TrainingError


def no_epoch_done() -> TrainingError:
    """The error for a training that is asked to end before its first epoch is done."""
    return TrainingError(
        "No epoch of this training is done",
        "Train without --end-now first.",
        code="bad_request",
    )


class Progress(Protocol):
    """Receives the progress of a training, such as `core.training.jobs.Work`."""

    on_step: Callable[[], None]

    def phase(self, words: str) -> None:
        """Report what is being done now."""

    def epoch(self, checkpoint_sha256: str, **values: Any) -> None:
        """Report a finished epoch, before its checkpoint replaces the previous one."""

    def checkpoints(self) -> set[str]:
        """The sha256 of every checkpoint that this training wrote."""

    def restore(self, folder: Path) -> None:
        """Put the checkpoint to go on from into a folder, if it is elsewhere."""

    def keep(self, checkpoint: Path, sha256: str, *, needed: bool) -> None:
        """Keep a checkpoint for another machine; not each, unless it is ``needed``."""


class Events:
    """A file of events, one JSON object a line, which a killed training leaves readable.

    Each has ``at`` (UTC) and ``event``: ``phase`` with its ``words``; ``epoch`` with its number,
    ``train_loss``, ``val_loss``, the pseudo-Dice of both labels, ``seconds``, and
    ``checkpoint_sha256``.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.on_step: Callable[[], None] = lambda: None

    def phase(self, words: str) -> None:
        """Append what is being done."""
        logger.info(words)
        self._add("phase", words=words)

    def epoch(self, checkpoint_sha256: str, **values: Any) -> None:
        """Append an epoch; it is on the disk before its checkpoint is used."""
        logger.info(
            "Epoch {epoch}: loss {train_loss:.4f}, validation {val_loss:.4f}, pseudo-Dice "
            "{dice_anterior:.3f} {dice_posterior:.3f}, {seconds:.0f} s",
            **values,
        )
        self._add("epoch", **values, checkpoint_sha256=checkpoint_sha256)

    def checkpoints(self) -> set[str]:
        """The sha256 of every checkpoint in the file."""
        return {event["checkpoint_sha256"] for event in self.read() if event["event"] == "epoch"}

    def restore(self, folder: Path) -> None:
        """The folder of the command line has what there is."""

    def keep(self, checkpoint: Path, sha256: str, *, needed: bool) -> None:
        """A run of the command line goes on in its folder alone."""

    def read(self) -> list[dict[str, Any]]:
        """All events, without a last line that was cut off."""
        if not self._file.is_file():
            return []
        lines = self._file.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line]

    def _add(self, event: str, **values: Any) -> None:
        self._mend()
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"at": at, "event": event, **values}) + "\n"
        with self._file.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def _mend(self) -> None:
        """Remove a last line that was cut off."""
        content = self._file.read_bytes() if self._file.is_file() else b""
        if content and not content.endswith(b"\n"):
            self._file.write_bytes(content[: content.rfind(b"\n") + 1])
