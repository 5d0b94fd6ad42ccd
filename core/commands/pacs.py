"""``pacs``: what the PACS has, a series of it, and files sent to it."""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands.installation import unwritable
from core.errors import InputError, SettingsError
from core.pacs.client import Pacs, Progress, Series, Study
from core.settings import Settings
from core.wording import counted, shown

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``pacs find``, ``pacs series``, ``pacs fetch`` and ``pacs send``."""
    pacs = commands.add_parser("pacs", help="search the PACS, fetch a series, send files to it")
    acts = pacs.add_subparsers(dest="act", required=True)
    find = acts.add_parser("find", help="studies of a patient, a date or an accession number")
    for option, words in (
        ("--patient-id", "the patient's id"), ("--name", "the patient's name: DOE^J*"),
        ("--date", "20261130, or 20261101-20261130"), ("--accession", "the accession number"),
    ):  # fmt: skip
        find.add_argument(option, default="", help=words)
    find.set_defaults(run=_find)
    series = acts.add_parser("series", help="the series of a study")
    series.add_argument("study", metavar="STUDY", help="its UID, as find prints it")
    series.set_defaults(run=_series)
    fetch = acts.add_parser("fetch", help="all files of a series, or none")
    fetch.add_argument("study", metavar="STUDY")
    fetch.add_argument("series", metavar="SERIES", help="its UID, as series prints it")
    fetch.add_argument("-o", dest="out", metavar="FOLDER", type=Path, required=True,
                       help="a folder that does not exist yet")  # fmt: skip
    fetch.set_defaults(run=_fetch)
    send = acts.add_parser("send", help="DICOM files, then see that they are there")
    send.add_argument("files", metavar="FILE", nargs="+", type=Path)
    send.set_defaults(run=_send)


def _pacs(settings: Settings) -> Pacs:
    pacs = Pacs.of(settings)
    if pacs is None:
        raise SettingsError("No PACS is set", "Set HIPPOVIEW_PACS_URL to its DICOMweb service.")
    return pacs


def _find(options: argparse.Namespace, settings: Settings) -> int:
    studies = _pacs(settings).studies(
        patient_id=options.patient_id, name=options.name, date=options.date,
        accession=options.accession,
    )  # fmt: skip
    for study in studies:
        sys.stdout.write(_line(study))
    sys.stderr.write(f"{counted(len(studies), 'study', 'studies')}\n")
    return 0


def _series(options: argparse.Namespace, settings: Settings) -> int:
    for series in _pacs(settings).series(options.study):
        sys.stdout.write(_line(series))
    return 0


def _line(row: Study | Series) -> str:
    """The fields of a row, between tabs; of what strangers wrote only what can be printed."""
    values = [str(value) for value in vars(row).values()]
    return "\t".join("".join(c for c in v if c.isprintable()) for v in values) + "\n"


def _fetch(options: argparse.Namespace, settings: Settings) -> int:
    pacs = _pacs(settings)
    out: Path = options.out
    if out.exists():
        raise InputError("The folder exists already", "Choose another -o.", code="bad_request")
    series = Series(options.series, options.study, "", "", "", 0)
    if not out.parent.is_dir():
        raise InputError(
            "There is no folder to write into", "Make the folder above -o first.",
            code="unwritable",
        )  # fmt: skip
    last = Progress(0, 0, 0)

    def keep(progress: Progress) -> None:
        nonlocal last
        last = progress

    folder = pacs.retrieve(series, out.parent, keep)
    try:
        folder.rename(out)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(error, "series") from error
    sys.stdout.write(f"{shown(out)}: {counted(last.of, 'file')}\n")
    return 0


def _send(options: argparse.Namespace, settings: Settings) -> int:
    pacs = _pacs(settings)
    try:
        files = [path.read_bytes() for path in options.files]
    except OSError as error:
        raise InputError(
            f"A file cannot be read: {os.strerror(error.errno or 0)}",
            "Check its name and its permissions.", code="unreadable",
        ) from error  # fmt: skip
    pacs.send(files)
    sys.stdout.write(f"{counted(len(files), 'object')} sent, and found in the PACS\n")
    return 0
