"""Parts of the Retrain page."""

import shutil
import tempfile
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st

from app.services import Services
from app.views.admission import is_admitted
from app.views.who_trains import where_it_runs, who_trains
from app.views.words import plain, show_error
from core.anatomy import LABEL_COLOURS
from core.errors import HippoViewError
from core.limits import HEAD_CUTS, MAX_ARCHIVE_MIB, MIN_DATASET_CASES
from core.settings import ROOT
from core.training.config import TrainingRequest
from core.training.data.dataset import REVIEWED_NAME, SPLIT_BY_FILE, Dataset
from core.training.data.heads import scans_in_words
from core.training.data.names import is_from_head, source_of
from core.training.data.preparation import Report, TooFewCasesError
from core.training.data.prepare import prepare
from core.training.data.reviewed import changes, follow, follow_before, usable
from core.training.jobs import Epoch, Job
from core.wording import counted

_REFRESH_S = 2.0
_LOG_LINES = 200
_LIST_ROWS, _LIST_PX = 12, 420
_PLOT_PX = 260
_STATE_ICONS = {
    "queued": ":material/schedule:", "running": ":material/play_arrow:",
    "succeeded": ":material/check_circle:", "failed": ":material/error:",
    "cancelled": ":material/cancel:", "lost": ":material/help:",
}  # fmt: skip
_LOSS_COLOURS = {"training": "#9AA0A8", "validation": "#CC79A7"}
_CHUNK_BYTES = 4 * 1024 * 1024


def duration(seconds: float) -> str:
    """A duration in words, rounded as an estimate should be."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 90 * 60:
        return counted(round(seconds / 60), "minute")
    return counted(round(seconds / 3600), "hour")


def add_data_set(shared: Services) -> None:
    """Upload a tar in the Decathlon's layout and prepare it."""
    st.markdown(
        "A `.tar` with `imagesTr` and `labelsTr` in the layout of the Medical Segmentation "
        "Decathlon. Or on the server: `python -m core data prepare SRC`. Cases that cannot be "
        "used are left out by name; a test set is frozen once, and no training started here uses "
        "it."
    )
    turn = st.session_state.setdefault("data-set-turn", 0)
    file = st.file_uploader(
        f"Archive (.tar, up to {MAX_ARCHIVE_MIB:,} MiB)",
        type="tar",
        max_upload_size=MAX_ARCHIVE_MIB,
        key=f"archive-{turn}",
    )
    given = st.text_input("Name", placeholder="The archive's name", key=f"name-{turn}", width=360)
    name = given or (Path(file.name).stem if file else "")
    if st.button("Prepare", disabled=file is None, icon=":material/cleaning_services:") and file:
        # In a folder that is emptied at the next start, should the server be killed now.
        with tempfile.NamedTemporaryFile(dir=shared.incoming, suffix=".tar") as archive:
            shutil.copyfileobj(file, archive, _CHUNK_BYTES)
            archive.flush()
            _prepare(partial(prepare, Path(archive.name), shared.storage, name))
    _from_reviews(shared)


def _from_reviews(shared: Services) -> None:
    """A data set of the cases that people accepted or corrected here."""
    rows = usable(shared.cases)
    count, without = len(rows), sum(not row.patient for row in rows)
    st.markdown(
        f"Or from the cases of this server: **{count} accepted or corrected** "
        f"({without} without a patient), of which at least "
        f"{MIN_DATASET_CASES} are needed. The set follows the reviews: prepared again, which a "
        "training on it does itself, it takes new cases and newer masks, and those that were "
        "rejected or deleted leave it, its test set included."
    )
    if st.button(
        "Use the reviewed cases", disabled=count < MIN_DATASET_CASES,
        icon=":material/fact_check:",
    ):  # fmt: skip
        _prepare(partial(follow, shared.cases, shared.storage))


def _prepare(make: Callable[..., tuple[Dataset, Report]]) -> None:
    bar = st.progress(0.0, "Unpacking")

    def tell(done: int, total: int) -> None:
        bar.progress(done / max(1, total), f"Checking the scans: {done} of {total}")

    try:
        make(on_case=tell)
    except TooFewCasesError as error:
        show_error(error)
        _report(error.report)
        return
    except HippoViewError as error:
        show_error(error)
        return
    st.session_state["data-set-turn"] += 1
    st.rerun()


def submit(shared: Services, request: dict[str, Any]) -> None:
    """Queue a training; on the reviewed cases as they are now."""
    try:
        with st.spinner("Looking for newer reviews"):
            follow_before(request["dataset"], shared.cases, shared.storage)
        shared.jobs.submit(request)
    except HippoViewError as error:
        show_error(error)
        return
    st.rerun()


def data_set_summary(shared: Services, dataset: Dataset) -> None:
    """What a data set contains, and what was left out."""
    patients = {name: entry.patient for name, entry in dataset.cases.items()}
    st.table(
        {
            "Scans": f"{scans_in_words(patients)}, of "
            f"{counted(len(set(patients.values())), 'patient')}",
            "To train on": f"{_crops(dataset.training)}; in five folds",
            "Frozen test set": _crops(dataset.test),
            "Split": "by file" if dataset.split_by_file else "by patient",
            "Hash": dataset.sha256[:16],
        },
        border="horizontal",
    )
    if any(map(is_from_head, patients)):
        st.caption(
            f"Of each side of a head {HEAD_CUTS} crops are cut to train on, at slightly different "
            "places, or one to test on."
        )
    if dataset.split_by_file:
        st.warning(f"This data set {SPLIT_BY_FILE}", icon=":material/warning:")
    try:
        report = shared.datasets.report(dataset.name)
    except HippoViewError as error:
        show_error(error)
        return
    if dataset.name == REVIEWED_NAME and (behind := changes(shared.cases, shared.storage)):
        st.info(
            f"Reviewed since: {behind.in_words}. A training takes them in before it begins.",
            icon=":material/update:",
        )
    _report(Report(**report))


def _crops(names: Collection[str]) -> str:
    """Such as *26 crops: 24 cut from 4 heads, 2 as they came*."""
    cut = [name for name in names if is_from_head(name)]
    words = counted(len(names), "crop")
    if cut:
        words += f": {len(cut)} cut from {counted(len(set(map(source_of, cut))), 'head')}"
    if cut and len(cut) < len(names):
        words += f", {len(names) - len(cut)} as they came"
    return words


def _report(report: Report) -> None:
    entries = [
        *((n, "left out", w) for n, w in sorted(report.left_out.items())),
        *((n, "mended", w) for n, w in sorted(report.mended.items())),
        *((n, "taken anew", "its files are others than before") for n in sorted(report.changed)),
        *((n, "gone", "it is no longer in the source") for n in sorted(report.gone)),
    ]
    for rule in report.rules:
        st.caption(plain(rule))
    rows = [
        {"File or case": plain(name), "State": state, "Why": plain(why[0].upper() + why[1:])}
        for name, state, why in entries
    ]
    if not rows:
        st.caption("Every file of the source could be used.")
        return
    left_out = counted(len(report.left_out), "file or case", "files or cases")
    title = f"{left_out} left out, {len(report.mended)} mended"
    height: int | Literal["content"] = _LIST_PX if len(rows) > _LIST_ROWS else "content"
    with st.expander(title), st.container(height=height):
        st.table(rows, hide_index=True, border="horizontal")


def title(job: Job) -> str:
    """A training in the list: its number, when it was asked for, and by which rule."""
    asked = f", asked by a rule: {job.reason}" if job.rule else ""
    return f"Training {job.id}, {job.created_at[:16].replace('T', ' ')} UTC{asked}"


def show_job(shared: Services, job_id: int) -> None:
    """A training: its progress, curves and log, and the buttons to cancel or resume it."""
    active = shared.jobs.get(job_id).active
    st.fragment(_job, run_every=_REFRESH_S if active else None)(shared, job_id, active)


def _job(shared: Services, job_id: int, was_active: bool) -> None:
    if not is_admitted():
        st.rerun()  # the sign-in has ended: the page asks again
    job, epochs = shared.jobs.get(job_id), shared.jobs.epochs(job_id)
    if was_active != job.active:
        st.rerun()  # the whole page: it begins or stops refreshing, and other parts know
    config = TrainingRequest(**job.spec).config()
    st.markdown(
        f"{_STATE_ICONS[job.state]} **{job.state.capitalize()}.** Data set "
        f"{plain(job.spec['dataset'])}, preset {job.spec['preset']}, "
        f"{counted(config.epochs, 'epoch')}.{plain(where_it_runs(job))}"
    )
    if job.state == "queued":
        who_trains(shared)
    if job.rule:
        st.caption(f"Asked by a rule: {job.reason}.")
    if job.message:
        st.error(plain(job.message), icon=":material/error:")
    if job.active:
        left = ""
        if epochs and len(epochs) < config.epochs:
            seconds = (config.epochs - len(epochs)) * epochs[-1].seconds
            left = f", about {duration(seconds)} of training left"
        st.progress(min(1.0, len(epochs) / config.epochs), f"{job.phase}{left}")
    with st.container(horizontal=True):
        if job.active:
            st.button("Cancel", on_click=_attempt, args=(shared.jobs.cancel, job_id),
                      icon=":material/stop:", key=f"cancel-{job_id}")  # fmt: skip
        if job.resumable:
            st.button("Resume", on_click=_attempt, args=(shared.jobs.resume, job_id),
                      icon=":material/replay:", key=f"resume-{job_id}",
                      help=f"It goes on after epoch {len(epochs)}.")  # fmt: skip
        if job.version:
            st.page_link(
                str(ROOT / "pages" / "models.py"),
                label=f"Compare version {job.version} on Models",
                icon=":material/compare:",
            )
    if epochs:
        _curves(job, epochs)
    elif job.active:
        st.caption("The curves appear after the first epoch.")
    with st.expander("Log"):
        lines = shared.jobs.log(job_id).splitlines()[-_LOG_LINES:]
        st.code("\n".join(lines) or "Nothing yet.", language=None, height=320)


def _attempt(action: Callable[[int], None], job_id: int) -> None:
    """Cancel or resume a job, which may have changed since the page was drawn."""
    if not is_admitted():
        return
    try:
        action(job_id)
    except HippoViewError as error:
        st.toast(f"{error.message}. {error.hint}")


def _curves(job: Job, epochs: list[Epoch]) -> None:
    numbers = [epoch.epoch + 1 for epoch in epochs]
    dice = go.Figure()
    dice.add_scatter(x=numbers, y=[e.dice_anterior for e in epochs], name="anterior",
                     mode="lines+markers", line_color=LABEL_COLOURS["anterior"])  # fmt: skip
    dice.add_scatter(x=numbers, y=[e.dice_posterior for e in epochs], name="posterior",
                     mode="lines+markers", line_color=LABEL_COLOURS["posterior"])  # fmt: skip
    loss = go.Figure()
    loss.add_scatter(x=numbers, y=[e.train_loss for e in epochs], name="training",
                     mode="lines+markers", line_color=_LOSS_COLOURS["training"])  # fmt: skip
    loss.add_scatter(x=numbers, y=[e.val_loss for e in epochs], name="validation",
                     mode="lines+markers", line_color=_LOSS_COLOURS["validation"])  # fmt: skip
    columns = st.columns(2, gap="large")
    for column, figure, title in (
        (columns[0], dice, "Pseudo-Dice"),
        (columns[1], loss, "Loss"),
    ):
        figure.update_layout(height=_PLOT_PX, margin={"l": 10, "r": 10, "t": 36, "b": 10},
                             title=title, xaxis_title="Epoch",
                             legend={"orientation": "h", "y": 1.15, "x": 0.4})  # fmt: skip
        figure.update_xaxes(dtick=max(1, len(numbers) // 10))
        with column:
            st.plotly_chart(figure, key=f"{title}-{job.id}", config={"displayModeBar": False},
                            alt=f"{title} by epoch")  # fmt: skip
    last = epochs[-1]
    st.caption(
        f"After epoch {last.epoch + 1}: pseudo-Dice {last.dice_anterior:.3f} anterior, "
        f"{last.dice_posterior:.3f} posterior; {last.seconds:.0f} s an epoch. Pseudo-Dice is of "
        "patches of the held-out fold, a rough guide; the test comes at the end."
    )
