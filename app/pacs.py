"""Series of the PACS as files of a batch, and results of cases sent to it."""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from loguru import logger

from app.batch import Fetch
from app.services import Services
from core.image.dicom.unpack import zipped
from core.limits import MIB
from core.people.audit import record_alone
from core.state.failures import in_words
from core.wording import counted

if TYPE_CHECKING:
    from core.pacs.client import Pacs, Progress, Series, Study


def search(shared: Services, pacs: "Pacs", **fields: str) -> "list[Study]":
    """Studies that the PACS has, for whoever acts: a line in the trail says by what was searched.

    Parameters
    ----------
    fields
        See `core.pacs.client.Pacs.studies`; what was typed is in no line.

    Raises
    ------
    AccessError, ForbiddenError, PacsError
    StorageError
        The line cannot be written. Then nothing is asked.
    """
    shared.cases.guard.require("pacs")
    named = ", ".join(name.replace("_", " ") for name, value in fields.items() if value)
    record_alone(
        shared.cases.acts.engine, "search", "PACS", note=f"by {named}" if named else "for all"
    )
    return pacs.studies(**fields)


def fetching(shared: Services, pacs: "Pacs", series: "Series") -> Fetch:
    """What fetches a series for a batch; nothing of it is left in the data folder.

    A line in the trail comes first, also where no case is made of it.
    """
    folder = shared.incoming

    def fetch(
        target: BinaryIO, tell: Callable[[str], None], is_given_up: Callable[[], bool]
    ) -> None:
        shared.cases.guard.require("pacs")
        record_alone(shared.cases.acts.engine, "search", "PACS", note="a series fetched")
        files = pacs.retrieve(series, folder, lambda p: tell(_words(p)), is_given_up)
        try:
            with in_words():
                zipped(sorted(files.iterdir()), target)
        finally:
            shutil.rmtree(files, ignore_errors=True)

    return fetch


def send_results(
    shared: Services, pacs: "Pacs", case_id: str,
    tell: Callable[[str], object] = lambda words: None, seen: int | None = None,
) -> list[str]:  # fmt: skip
    """Send the DICOM objects of a case's current mask, and see that they are there.

    Parameters
    ----------
    tell
        Called with what is done.
    seen
        The version of the mask that somebody looked at; by default whichever it is.

    Returns
    -------
    list of str
        What was sent: ``seg`` (not of an empty mask), ``sr``, ``pdf``.

    Raises
    ------
    NewerVersionError
        Another mask than the one that was seen is the current one. Nothing was sent.
    AccessError, ForbiddenError
    NotFoundError
        There is no such case, or it did not come as DICOM.
    PacsError
        They are not all there, or that is not known; sending again doubles nothing.
    StorageError
    """
    shared.cases.guard.require("pacs")
    # highdicom takes seconds to import: only who asks for it waits.
    from core.exports.dicom_case import objects_of

    tell("Writing the DICOM objects")
    all_frames = shared.settings.seg_frames == "all"
    objects = objects_of(shared.cases, case_id, empty_frames=all_frames, seen=seen)
    shared.cases.acts.lines.exported(case_id, "to the PACS")
    tell(f"Sending {counted(len(objects), 'object')}")
    pacs.send(list(objects.values()), lambda: tell("Looking whether they are there"))
    logger.info("{}: its results were sent to the PACS", case_id)
    return list(objects)


def _words(progress: "Progress") -> str:
    return (
        f"Fetching it from the PACS: {progress.files:,} of {counted(progress.of, 'file')}, "
        f"{progress.bytes / MIB:,.0f} MiB"
    )
