"""Makes cases of the studies that scanners and archives have sent to the receiver."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from loguru import logger

from app.services import Services
from core.cases.case import Case
from core.errors import BusyError, ComputeError, GoneError, HippoViewError, ModelError, StorageError
from core.image.dicom.unpack import zipped
from core.image.room import check_room
from core.pacs.ready import SUFFIX, ReadyStudies
from core.pipeline import Caller
from core.wording import counted

ORIGIN = "receiver"
# Not the study's fault: it is tried again, as often as it takes.
_LATER = (BusyError, GoneError, ModelError, StorageError)
_AGAIN_S = 30.0
_MOST_TRIES = 3


class Receiving:
    """Looks after the received studies of one server.

    Parameters
    ----------
    shared
    on_case
        Called with each new case.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        shared: Services,
        on_case: Callable[[Case], None] = lambda case: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared, self._on_case, self._clock = shared, on_case, clock
        self._ready = ReadyStudies(shared.settings.received_dir)
        self._not_before_s = 0.0

    def tick(self) -> None:
        """Segment what has come whole, one study after another.

        Raises
        ------
        StorageError
        """
        if self._clock() < self._not_before_s:
            return
        for study in self._ready.studies():
            with self._ready.claimed(study) as is_ours:
                if is_ours and not self._is_gone(study):
                    self._not_before_s = self._clock() + _AGAIN_S
                    return

    def _is_gone(self, study: Path) -> bool:
        """Try to be done with a study; whether nothing of it waits any more."""
        if self._ready.begin(study) > _MOST_TRIES:
            logger.error("A received study was dropped: the server failed on it {} times",
                         _MOST_TRIES)  # fmt: skip
        elif not self._is_done(study):
            return False
        self._ready.remove(study)
        return True

    def _is_done(self, study: Path) -> bool:
        """Segment a study; whether it is a case, or cannot be one."""
        try:
            self._on_case(self._case_of(study))
        except _LATER as error:
            logger.warning("A received study waits: {}. {}", error.message, error.hint)
            self._ready.end(study)
            return False
        except ComputeError as error:
            logger.warning("A received study failed: {}. {}", error.message, error.hint)
            return False
        except HippoViewError as error:
            # Not its message, which quotes a series's description. The sender has the study still.
            logger.warning("A received study cannot be segmented ({}): dropped", error.code)
        except Exception as error:  # noqa: BLE001 - the others go on; it is tried again
            logger.opt(exception=error).error("A received study failed unforeseen")
            return False
        return True

    def _case_of(self, study: Path) -> Case:
        """The case of a study, made once, however often what follows fails."""
        if case_id := self._ready.case_of(study):
            return self._shared.cases.get(case_id)
        case = self._segmented(study)
        self._ready.note_case(study, case.id)
        return case

    def _segmented(self, study: Path) -> Case:
        files = sorted(study.glob(f"*{SUFFIX}"))
        incoming = self._shared.incoming
        check_room(incoming, sum(file.stat().st_size for file in files))
        with tempfile.TemporaryFile(dir=incoming) as export:
            zipped(files, export)
            export.seek(0)
            return self._shared.segment_and_keep(
                cast(BinaryIO, export), f"Received, {counted(len(files), 'file')}",
                Caller(ORIGIN), origin=ORIGIN,
            )  # fmt: skip
