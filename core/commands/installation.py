"""What the commands share: the installation that they work on, what they print, what they write."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HippoViewError, InputError
from core.models.folder import Model, load_model, opened
from core.models.registry import Registry
from core.predictor.service import OpenModel
from core.settings import Settings
from core.state.database import connect, has_database
from core.state.storage import open_storage, write_whole
from core.training.data.dataset import SPLIT_BY_FILE, Dataset
from core.wording import shown

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def in_service(settings: Settings) -> OpenModel:
    """Opens the version in service; the embedded model where there is no database yet."""
    if not has_database(settings):
        return lambda: opened(settings.model_dir)
    return registry_of(settings).open_serving


def registry_of(settings: Settings) -> Registry:
    """The registry of this installation, prepared."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    registry = Registry(connect(settings.data_dir), open_storage(settings), settings.model_dir)
    registry.prepare()
    return registry


@contextmanager
def model_named(text: str, settings: Settings) -> Iterator[Model]:
    """The model of a version's number, or that of a folder."""
    if text.isdecimal():
        with registry_of(settings).open(int(text)) as model:
            yield model
    else:
        yield load_model(Path(text))


def print_error(error: HippoViewError, source: Path | None = None) -> None:
    """Print an error, and the file that it is about."""
    where = f"{shown(source)}: " if source else ""
    sys.stderr.write(f"{where}{error.message}. {error.hint} [{error.code}]\n")


def write(target: Path, content: bytes, what: str) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    what
        What it is, for the error: ``mask``.

    Raises
    ------
    InputError
        It cannot be written.
    """
    try:
        write_whole(target, content)
    except OSError as error:
        raise unwritable(error, what) from error


def unwritable(error: OSError, what: str) -> InputError:
    """What is said of a file that cannot be written."""
    return InputError(
        f"The {what} cannot be written: {os.strerror(error.errno or 0)}",
        "Check that the folder exists and may be written to.",
        code="unwritable",
    )


def warn_of_split(dataset: Dataset) -> None:
    """Say on stderr that a data set is split by file, if it is."""
    if dataset.split_by_file:
        sys.stderr.write(f"Data set {dataset.name} {SPLIT_BY_FILE}\n")
