"""The background work of a server: what is done though nobody asks for it, as the server itself."""

import gc
import threading
from collections.abc import Callable
from functools import partial

from loguru import logger

from app.example import example_file
from app.operations import write_report_if_due
from app.services import Services
from core.drift.baseline import HeadBaseline
from core.errors import HippoViewError
from core.image import contrast
from core.people.acting import SERVER, acting_as
from core.people.refusals import refusals_of
from core.state.database import agree
from core.state.encrypted_storage import EncryptedStorage
from core.training.ray_jobs import Ray

_TICK_S = 1.0
# Seconds until a version that could not be loaded is tried again.
_TRY_AGAIN_S = 30.0
_KEYS_EVERY_S = 60.0


def start(shared: Services, *further: tuple[str, Callable[[], None]]) -> None:
    """Start the background work: loading the model, jobs, cases, versions, the shadow.

    Parameters
    ----------
    further
        Of the modules above this one: what is looked after, and what is called once a second.
    """
    threading.Thread(target=_warm_up, args=(shared,), name="warm-up", daemon=True).start()
    care: tuple[tuple[str, Callable[[], None]], ...] = (
        ("jobs", shared.jobs.tick), ("cases", shared.cases.caretaker.tick),
        ("service", partial(_follow, shared)), ("folders of trainings", shared.job_folders.tick),
        ("baseline of heads", HeadBaseline(shared.cases, shared.storage).tick),
        ("drift", partial(_follow_drift, shared)),
        ("messages about drift", shared.outside.notices.send_due),
        ("drift reports", partial(write_report_if_due, shared)),
        ("shadow", shared.shadow.tick),
        ("accounts", shared.kept_people.tick), ("trail", shared.archive.tick),
        ("refusals", refusals_of(shared.cases.acts.engine).tick),
        ("checks of the trail", shared.outside.audit_watch.tick),
        ("keys", partial(_note_keys, shared)),
        ("leftovers", shared.leftovers.tick), ("collection", shared.collection.tick), *further,
    )  # fmt: skip
    if shared.settings.engine == "ray":
        care += (("trainings on Ray", Ray(shared.cases.acts.engine, shared.settings).tick),)
    for name, tick in care:
        # A thread each: a pass over the cases of a bucket takes its time.
        threading.Thread(target=_supervise, args=(name, tick), name=name, daemon=True).start()


def _supervise(name: str, tick: Callable[[], None]) -> None:
    """Run the tasks that are due, again and again, for as long as the server runs."""
    pause = threading.Event()
    while True:
        try:
            with acting_as(SERVER):
                tick()
        except Exception as error:  # noqa: BLE001 - one failed look must not end the watch
            logger.opt(exception=error).error("The {} could not be looked after", name)
        pause.wait(_TICK_S)


def _follow(shared: Services) -> None:
    """Switch to the version that should serve; after a failure, wait before the next try."""
    try:
        shared.follow()
    except HippoViewError as error:
        logger.warning("The version that should serve does not yet: {}", error.message)
        threading.Event().wait(_TRY_AGAIN_S)


def _note_keys(shared: Services) -> None:
    """Note the key that this server encrypts with, which a change of keys may have struck off."""
    if isinstance(shared.storage, EncryptedStorage) and shared.storage.keyring:
        shared.storage.agree()
        agree(shared.cases.acts.engine)
    threading.Event().wait(_KEYS_EVERY_S)


def _follow_drift(shared: Services) -> None:
    """Add new cases to the chains, and write down what of their state is to be told."""
    shared.drift.tick()
    shared.outside.notices.note(shared.drift.latest)


def _warm_up(shared: Services) -> None:
    shared.predictors.load(before=shared.registry.prepare)
    contrast.prepare()
    example_file()  # so that its first visitor does not wait for it
    # Streamlit collects garbage after every run of a page and holds up all others while it does:
    # the longer, the more objects there are, so what the start made is left
    # out. A predictor goes by its last reference.
    gc.collect()
    gc.freeze()
