"""Who trains: this server, workers or Ray, and what to do where nobody would."""

import streamlit as st

from app.services import Services
from core.state.processes import this_process
from core.training.jobs import Job
from core.training.leases import alive
from core.wording import counted

_NOBODY = (
    "No worker is alive: what is asked for waits. Start one on a machine that shall train, with "
    "the database, the storage and the keys of this server: `python -m core worker` "
    "(docs/operations.md, *Workers*). It then begins by itself."
)


def where_it_trains(shared: Services) -> str:
    """Words that follow an estimate such as *about 5 minutes*: on which machine."""
    if shared.settings.engine == "local":
        return "on this machine"
    return "on a machine like this one, once a worker takes it"


def who_trains(shared: Services) -> None:
    """The workers that are alive; how to start one where none is."""
    if shared.settings.engine != "workers":
        return
    workers = alive(shared.cases.acts.engine, shared.settings.lease_s)
    if not workers:
        st.warning(_NOBODY, icon=":material/hourglass_empty:")
        return
    busy = sum(worker.job_id is not None for worker in workers)
    hosts = ", ".join(sorted({worker.host for worker in workers}))
    st.caption(f"{counted(len(workers), 'worker')} on {hosts}: {busy} at work.")


def where_it_runs(job: Job) -> str:
    """The machine of a training that runs, where it is another than this; else nothing."""
    here = job.host == this_process()["host"]
    if job.state != "running" or not job.host or (here and not job.worker):
        return ""
    return " On this machine, by a worker." if here else f" On the machine {job.host}."
