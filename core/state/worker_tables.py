"""Tables of `core.training.worker`: the processes that train, and what they say of it."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text

from core.state.tables import METADATA

# A worker while it runs; ``seen_at`` is its last heartbeat, and ``job_id`` what it trains.
WORKERS = Table(
    "workers",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("host", String, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("seen_at", String(32), nullable=False),
    Column("job_id", Integer),
)

# The end of a training's log, as the process of its newest start wrote it, wherever that runs.
JOB_LOGS = Table(
    "job_logs",
    METADATA,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("content", Text, nullable=False),
)
