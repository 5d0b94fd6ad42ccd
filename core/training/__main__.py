"""``python -m core.training JOB [START [FOLDER]]``: the child process of a training job.

With a folder it is a worker's child (`core.training.worker`), and hands the job back when the
worker's end of its standard input is closed.
"""

import faulthandler
import os
import signal
import sys
import threading
from pathlib import Path

from loguru import logger
from sqlalchemy import Engine

from core import limits
from core.cases.store import Cases
from core.cpus import give_way
from core.errors import HippoViewError
from core.models.registry import Registry
from core.people.acting import SERVER, acting_as
from core.settings import Settings
from core.state.database import connect
from core.state.storage import open_storage
from core.training.config import TrainingRequest, share_cores
from core.training.data.dataset import Datasets
from core.training.job_folders import occupy
from core.training.job_logs import LOG_NAME
from core.training.jobs import Jobs
from core.training.kept import Kept
from core.training.work import Work

# Scans that people wait for have priority; but with niceness 10 a training got 7 % of one core
# beside three busy threads on two cores, and made no progress.
_NICE = 5
_FAILED = 2  # 1 is `core.training.jobs.STALLED_EXIT`
_NOT_OURS = 3


def main(job_id: int, attempt: int | None = None, folder: Path | None = None) -> int:
    """Run a job and store its outcome in the database.

    Parameters
    ----------
    attempt
        The number of this start of the job; None starts a queued job.
    folder
        Of a worker's child: where to work. Left out, the job's own folder of this installation.
    """
    of_worker = folder is not None
    settings = Settings.from_environment()
    logger.remove()
    logger.add(sys.stderr, level=settings.log_level, diagnose=False,
               format="{time:HH:mm:ss} {level:7} {message}")  # fmt: skip
    engine = connect(settings.data_dir)
    jobs, work = Jobs(engine, settings.data_dir), Work(engine, job_id, watch, attempt)
    watch()
    if not work.begin():
        logger.warning("The job was cancelled or given to another process before this one began")
        return _NOT_OURS
    folder = folder or jobs.folder(job_id)
    threading.Thread(target=_beat, args=(work, folder / LOG_NAME), daemon=True).start()
    if of_worker:
        threading.Thread(target=_end_with_worker, args=(work, folder), daemon=True).start()
    give_way(_NICE)
    share_cores()
    _environment(settings, work.uid)
    try:
        occupy(folder)  # until this process ends
        version = _version(work, folder, TrainingRequest(**jobs.get(job_id).spec), settings, engine)
    except HippoViewError as error:
        logger.error("{}. {}", error.message, error.hint)
        work.fail(f"{error.message}. {error.hint}")
        return _FAILED
    except Exception as error:  # noqa: BLE001 - the log has it all, the page the first line
        logger.exception("The training failed")
        work.fail(f"{type(error).__name__}: {str(error)[:300]}. The log says more.")
        return _FAILED
    finally:
        _tell_log(work, folder / LOG_NAME)
    if not work.succeed(version):
        logger.warning("The job was cancelled as it came to its end: model version {}", version)
        return _NOT_OURS
    if work.kept is not None:
        work.kept.drop()
    logger.info("Done: model version {}", version)
    return 0


def _version(
    work: Work, folder: Path, request: TrainingRequest, settings: Settings, engine: Engine
) -> int:
    """The number of the version that the job gives."""
    storage = open_storage(settings)
    work.kept = kept = Kept(storage, work.uid)
    registry = Registry(engine, storage, settings.model_dir)
    before = registry.made_by(work.uid)
    if before is not None:  # an earlier start was killed after it registered
        return before.number
    datasets = Datasets(storage)
    begun_with = kept.fact("data", folder, lambda: datasets.get(request.dataset).sha256)
    dataset = datasets.get(request.dataset, begun_with)
    # Importing PyTorch and nnU-Net takes seconds: heartbeats and mistakes come before.
    from core.training.job import run

    cases = Cases(engine, storage)
    return run(work, folder, request, dataset, settings, datasets, registry, cases)


def watch() -> None:
    """End the process, with a traceback in the log, unless it is called again in time.

    A watchdog thread in C, so that it works whoever holds Python's lock. The exit status is
    `core.training.jobs.STALLED_EXIT`.
    """
    faulthandler.dump_traceback_later(limits.STALLED_AFTER_S, exit=True)


def _environment(settings: Settings, uid: str) -> None:
    os.environ["nnUNet_wandb_enabled"] = "0" if settings.wandb == "off" else "1"
    os.environ["nnUNet_wandb_project"] = "hippoview"
    if settings.wandb != "off":
        os.environ["nnUNet_wandb_mode"] = settings.wandb
        os.environ["WANDB_NAME"] = f"hippoview-{uid}"


def _beat(work: Work, log: Path) -> None:
    """Send heartbeats and the log; end the process group if the job is another process's now."""
    pause = threading.Event()
    while not pause.wait(limits.HEARTBEAT_S):
        try:
            mine = work.still_mine()
        except Exception as error:  # noqa: BLE001 - one missed sign must not end the signs
            logger.warning("No sign of life could be given: {}", type(error).__name__)
            continue
        if not mine:
            logger.warning("The job was cancelled or given to another process")
            _end()
        _tell_log(work, log)


def _tell_log(work: Work, log: Path) -> None:
    try:
        work.log(log)
    except Exception as error:  # noqa: BLE001 - a log that is not shown must not end a training
        logger.warning("The log could not be shown: {}", type(error).__name__)


def _end_with_worker(work: Work, folder: Path) -> None:
    """Wait for the end of the worker, then hand the job back: its lease need not run out."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    logger.warning("The worker of this training has ended")
    try:
        work.hand_back(folder)
    finally:
        _end()


def _end() -> None:
    """End this process and its children at once: all that they write is whole or not there."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(_NOT_OURS)


if __name__ == "__main__":
    with acting_as(SERVER):
        job, *more = sys.argv[1:]
        start = int(more[0]) if more else None
        sys.exit(main(int(job), start, Path(more[1]) if more[1:] else None))
