"""The end of each training's log, in the database, so that every page shows it."""

from pathlib import Path

from sqlalchemy import Engine, select

from core.state.database import reading
from core.state.tables import JOBS
from core.state.worker_tables import JOB_LOGS

LOG_NAME = "log.txt"
TAIL_BYTES = 64 * 1024


def tail(file: Path) -> str:
    """The end of a log's file; empty if there is none."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - TAIL_BYTES))
        return opened.read().decode(errors="replace").replace("\x00", "")


def write(engine: Engine, job_id: int, attempt: int, content: str) -> bool:
    """Keep the end of a log; False, and nothing is written, if the job was started again since."""
    this_start = (JOBS.c.id == job_id) & (JOBS.c.attempt == attempt)
    with engine.begin() as connection:
        # Updated to itself: a start of the job, elsewhere, waits until this is committed.
        if not connection.execute(JOBS.update().where(this_start).values(attempt=attempt)).rowcount:
            return False
        change = JOB_LOGS.update().where(JOB_LOGS.c.job_id == job_id).values(content=content)
        if not connection.execute(change).rowcount:
            connection.execute(JOB_LOGS.insert().values(job_id=job_id, content=content))
    return True


def read(engine: Engine, job_id: int) -> str:
    """The end of a job's log; empty if it has none."""
    with reading(engine) as connection:
        content = connection.scalar(select(JOB_LOGS.c.content).where(JOB_LOGS.c.job_id == job_id))
    return str(content or "")
