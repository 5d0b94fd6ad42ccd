"""``python -m core.training JOB [START]``: the child process of a training job."""

import faulthandler
import os
import signal
import sys
import threading

from loguru import logger

from core import limits
from core.errors import HippoViewError
from core.models.registry import Registry
from core.settings import Settings
from core.state.database import connect
from core.state.storage import open_storage
from core.training.config import TrainingRequest, share_cores
from core.training.data.dataset import Datasets
from core.training.job_folders import occupy
from core.training.jobs import Jobs, Work

# Scans that people wait for have priority; but with niceness 10 a training got 7 % of one core
# beside three busy threads on two cores, and made no progress.
_NICE = 5
_FAILED = 2  # 1 is `core.training.jobs.STALLED_EXIT`
_NOT_OURS = 3


def main(job_id: int, attempt: int | None = None) -> int:
    """Run a job and store its outcome in the database.

    Parameters
    ----------
    attempt
        The number of this start of the job; None starts a queued job.
    """
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
    threading.Thread(target=_beat, args=(work,), daemon=True).start()
    os.nice(_NICE)
    share_cores()
    _environment(settings, work.uid)
    folder = jobs.folder(job_id)
    try:
        occupy(folder)  # until this process ends
        # Importing PyTorch and nnU-Net takes seconds; the first heartbeat comes before.
        from core.training.job import run

        storage = open_storage(settings)
        version = run(
            work,
            folder,
            TrainingRequest(**jobs.get(job_id).spec),
            settings,
            Datasets(storage),
            Registry(engine, storage, settings.model_dir),
        )
    except HippoViewError as error:
        logger.error("{}. {}", error.message, error.hint)
        work.fail(f"{error.message}. {error.hint}")
        return _FAILED
    except Exception as error:  # noqa: BLE001 - the log has it all, the page the first line
        logger.exception("The training failed")
        work.fail(f"{type(error).__name__}: {str(error)[:300]}. The log says more.")
        return _FAILED
    if not work.succeed(version):
        logger.warning("The job was cancelled as it came to its end: model version {}", version)
        return _NOT_OURS
    logger.info("Done: model version {}", version)
    return 0


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


def _beat(work: Work) -> None:
    """Send heartbeats; end the process group if the job is no longer this process's."""
    pause = threading.Event()
    while not pause.wait(limits.HEARTBEAT_S):
        try:
            mine = work.still_mine()
        except Exception as error:  # noqa: BLE001 - one missed sign must not end the signs
            logger.warning("No sign of life could be given: {}", type(error).__name__)
            continue
        if not mine:
            logger.warning("The job was cancelled or given to another process")
            if os.getpgrp() == os.getpid():
                os.killpg(os.getpid(), signal.SIGKILL)
            os._exit(_NOT_OURS)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:3])))
