"""Runs the shadow: scans that were delivered are segmented once more, while nobody waits.

One thread of the server calls `Shadow.tick`; requests call `Shadow.attending` and `Shadow.offer`,
which wait for nothing. What runs ends before the next run of its network as soon as somebody comes.
The server that delivered a scan compares it: scans are handed over in memory and never stored.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import psutil
from loguru import logger
from sqlalchemy import Engine

from core import limits
from core.errors import (
    ComputeError,
    ConflictError,
    GoneError,
    HippoViewError,
    InputError,
    NotFoundError,
    StorageError,
)
from core.image.volume import Volume
from core.models.registry import Registry
from core.people.permission import Guard
from core.pipeline import Analysis
from core.predictor.segmentation import Segmentation
from core.shadow import choice, figures
from core.shadow.choice import Choice
from core.shadow.comparison import Scan, compared, scan_of
from core.wording import counted

# Seconds until a version that the storage did not give is loaded again.
_TRY_AGAIN_S = 30.0


class Segmenter(Protocol):
    """What computes a shadow's masks: `core.predictor.predictor.Predictor`."""

    def segment(self, volume: Volume, gone: Callable[[], bool]) -> Segmentation:
        """See `core.predictor.predictor.Predictor.segment`."""
        ...

    def close(self) -> None:
        """End its threads."""
        ...


@dataclass(frozen=True)
class Counts:
    """What became of the scans of this server since the shadow was switched on.

    Attributes
    ----------
    compared : int
    dropped : int
        Gave way to newer ones, while too many waited.
    interrupted : int
        Were given up, since somebody came each time.
    too_large : int
        Had too many voxels to be held in memory.
    failed : int
        The shadow failed on them, or the figures could not be kept.
    """

    compared: int = 0
    dropped: int = 0
    interrupted: int = 0
    too_large: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Report:
    """What pages and API show of a version as the shadow of the one in service.

    Attributes
    ----------
    number, version : int
        Of the shadow and of the version in service.
    choice : Choice
    loaded_mib : int or None
        Memory that this server took for it; None where it is not loaded here.
    counts : Counts
    rows : list of figures.Row
        The newest first.
    """

    number: int
    version: int
    choice: Choice
    loaded_mib: int | None
    counts: Counts
    rows: list[figures.Row]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        is_on = self.choice.number == self.number
        return {
            "number": self.number,
            "beside": self.version,
            "state": "on" if is_on else "off",
            "since": self.choice.since if is_on else "",
            "ended": self.choice.ended,
            "loaded_mib": self.loaded_mib if is_on else None,
            "this_server": asdict(self.counts) if is_on else None,
            "scans": len({row.scan for row in self.rows}),
            "figures": [asdict(summary) for summary in figures.summaries(self.rows)],
            "most_different": [asdict(row) for row in figures.most_different(self.rows, 10)],
        }


class Shadow:
    """The shadow of one server.

    Parameters
    ----------
    engine, registry
    open_version
        Loads a version, ready to segment.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        open_version: Callable[[int], Segmenter],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._guard = Guard(engine)
        self._registry = registry
        self._open_version = open_version
        self._clock = clock
        self._lock = threading.Lock()
        self._people = 0
        self._left_at = -limits.SHADOW_QUIET_S + clock()
        self._number: int | None = None
        self._waiting: deque[Scan] = deque()
        self._counts = Counts()
        self._segmenter: Segmenter | None = None
        self._loaded_mib: int | None = None
        self._not_before = clock()
        self._failures = 0

    def switch_on(self, number: int) -> None:
        """Choose a version as the shadow; servers load it within moments in which nobody waits.

        Raises
        ------
        ConflictError
            It is in service, or another one is the shadow.
        NotFoundError
        """
        self._guard.require("models")
        if self._registry.get(number).stage == "serving":
            raise ConflictError(
                f"Version {number} is in service", "Choose another version as its shadow."
            )
        choice.switch_on(self._engine, number)
        logger.info("Version {} was switched on as the shadow", number)

    def switch_off(self, number: int) -> None:
        """End a shadow.

        Raises
        ------
        ConflictError
            That version is not the shadow.
        NotFoundError
        """
        self._guard.require("models")
        self._registry.get(number)
        if not choice.switch_off(self._engine, number):
            raise ConflictError(f"Version {number} is not the shadow", "See the Models page.")
        logger.info("Version {} was switched off as the shadow", number)

    def choice(self) -> Choice:
        """Which version was chosen, and why the last one ended."""
        return choice.current(self._engine)

    def report(self, number: int) -> Report:
        """A version's figures as the shadow of the one in service.

        Raises
        ------
        NotFoundError
        """
        version = self._registry.serving().number
        self._registry.get(number)
        rows, choice_now = figures.rows(self._engine, number, version), self.choice()
        with self._lock:
            return Report(number, version, choice_now, self._loaded_mib, self._counts, rows)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """While the block lasts somebody waits for a scan: the shadow computes nothing."""
        with self._lock:
            self._people += 1
        try:
            yield
        finally:
            with self._lock:
                self._people -= 1
                self._left_at = self._clock()

    def offer(self, analysis: Analysis, case_id: str | None = None) -> None:
        """Hand over a scan that was delivered; returns at once.

        Parameters
        ----------
        case_id
            Of the case that it became, if it was kept.
        """
        if self._number is None:
            return
        if analysis.segmentation.labels.size > limits.MAX_SHADOW_VOXELS:
            with self._lock:
                self._count("too_large")
            return
        scan = scan_of(analysis, case_id)
        with self._lock:
            if self._number in (None, scan.version):
                return
            self._waiting.append(scan)
            while len(self._waiting) > limits.MAX_SHADOW_WAITING:
                self._waiting.popleft()
                self._count("dropped")

    def tick(self) -> None:
        """Follow the choice, then compare the scans that wait, for as long as nobody comes.

        Raises
        ------
        StorageError
            Not now: the next call tries again.
        """
        self._follow()
        if self._number is None or not self._is_quiet():
            return
        if self._segmenter is None:
            self._load(self._number)
        while self._segmenter is not None and self._is_quiet():
            with self._lock:
                if not self._waiting:
                    return
                scan = self._waiting.popleft()
            self._compare(scan, self._segmenter, self._number)

    def close(self) -> None:
        """Unload the version, and let go of the scans that wait."""
        with self._lock:
            segmenter, self._segmenter = self._segmenter, None
            self._number, self._loaded_mib = None, None
            self._waiting.clear()
        if segmenter is not None:
            segmenter.close()

    def _follow(self) -> None:
        """Begin or end what the choice says; end a choice that no longer makes sense."""
        number = self.choice().number
        if number is not None:
            try:
                is_serving = self._registry.get(number).stage == "serving"
            except NotFoundError:
                self._end(number, f"Version {number} is no longer there.")
                number = None
            else:
                if is_serving:
                    self._end(number, f"Version {number} went into service.")
                    number = None
        if number != self._number:
            self.close()
            with self._lock:
                self._number, self._counts, self._failures = number, Counts(), 0

    def _end(self, number: int, why: str) -> None:
        if choice.switch_off(self._engine, number, why):
            logger.info("The shadow ended: {}", why)

    def _load(self, number: int) -> None:
        if self._clock() < self._not_before:
            return
        before = psutil.Process().memory_info().rss
        try:
            segmenter = self._open_version(number)
        except StorageError:
            self._not_before = self._clock() + _TRY_AGAIN_S
            raise
        except HippoViewError as error:
            self._give_up(number, f"Version {number} could not be loaded: {error.message}.")
            return
        except Exception as error:  # noqa: BLE001 - said on the page; the server goes on
            logger.opt(exception=error).error("The shadow could not be loaded")
            self._give_up(number, f"Version {number} could not be loaded: the log says why.")
            return
        taken = psutil.Process().memory_info().rss - before
        with self._lock:
            self._segmenter, self._loaded_mib = segmenter, max(0, round(taken / limits.MIB))

    def _give_up(self, number: int, why: str) -> None:
        logger.warning("The shadow was switched off: {}", why)
        self._end(number, why)
        self.close()

    def _compare(self, scan: Scan, segmenter: Segmenter, number: int) -> None:
        start = time.perf_counter()
        try:
            labels = segmenter.segment(scan.volume, lambda: self._people > 0).labels
        except GoneError:
            self._put_back(scan)
            return
        except InputError:  # it finds nothing where the version in service did
            labels = np.zeros(scan.volume.shape, np.uint8)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the shadow's
            if not isinstance(error, ComputeError):
                logger.opt(exception=error).error("The shadow failed on a scan")
            self._failed(number)
            return
        seconds = time.perf_counter() - start
        self._failures = 0
        try:
            figures.add(
                self._engine, number, scan.version, scan.case_id, compared(scan, labels),
                scan.seconds, seconds,
            )  # fmt: skip
        except StorageError:
            with self._lock:
                self._count("failed")
            raise
        with self._lock:
            self._count("compared")

    def _put_back(self, scan: Scan) -> None:
        """Somebody came: the scan is tried again, unless newer ones have its place."""
        with self._lock:
            if scan.tries + 1 >= limits.MAX_SHADOW_TRIES:
                self._count("interrupted")
            elif len(self._waiting) >= limits.MAX_SHADOW_WAITING:
                self._count("dropped")
            else:
                self._waiting.appendleft(replace(scan, tries=scan.tries + 1))

    def _failed(self, number: int) -> None:
        with self._lock:
            self._count("failed")
        self._failures += 1
        if self._failures >= limits.MAX_SHADOW_FAILURES:
            failures = counted(self._failures, "scan")
            self._give_up(number, f"Version {number} failed on {failures} in a row.")

    def _is_quiet(self) -> bool:
        with self._lock:
            return not self._people and (self._clock() - self._left_at >= limits.SHADOW_QUIET_S)

    def _count(self, what: str) -> None:
        """Count a scan; the caller holds the lock."""
        self._counts = replace(self._counts, **{what: getattr(self._counts, what) + 1})
