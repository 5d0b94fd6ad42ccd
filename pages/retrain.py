"""Retrain: a data set, a preset, the button, and how it goes."""

import streamlit as st

from app.operations import heads_to_test_on, measured_iteration_s
from app.views.admission import admit
from app.views.rules import rules_section
from app.views.shared import services
from app.views.trainings import add_data_set, data_set_summary, duration, show_job, submit, title
from app.views.who_trains import where_it_trains, who_trains
from app.views.words import show_error
from core.errors import HippoViewError
from core.training.config import PRESETS, TrainingRequest, check_installed, estimate_s
from core.training.data.dataset import Dataset
from core.training.jobs import Job

admit()
shared = services()
try:
    check_installed()
except HippoViewError as error:
    show_error(error)
    st.stop()


def _new(datasets: list[Dataset]) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("New training", anchor=False)
        name = st.selectbox("Data set", [d.name for d in datasets], width=360)
        preset = st.segmented_control(
            "Preset", list(PRESETS), default="quick", required=True, key="preset"
        )
        st.caption(PRESETS[preset])
        default = TrainingRequest(name, preset).config()
        epochs = st.number_input(
            "Epochs", 1, 10_000, default.epochs, key=f"epochs-{preset}", width=160,
            help=f"Of {default.iterations} iterations each.",
        )  # fmt: skip
        request = TrainingRequest(name, preset, [f"epochs={epochs}"])
        chosen = next(d for d in datasets if d.name == name)
        serving = shared.predictors.serving
        no_gpu = serving is None or serving.network.device != "cuda"
        if default.needs_gpu and no_gpu and shared.settings.engine == "local":
            st.warning("This preset needs an NVIDIA GPU and this server has none.")
        else:
            seconds = estimate_s(
                request.config(), len(chosen.test), measured_iteration_s(shared),
                heads_to_test_on(shared, datasets),
            )  # fmt: skip
            st.markdown(f"It will take about **{duration(seconds)}** {where_it_trains(shared)}.")
            who_trains(shared)
            if st.button("Retrain", type="primary", icon=":material/model_training:"):
                submit(shared, request.as_dict())
    with right:
        st.subheader("Data set", anchor=False)
        data_set_summary(shared, chosen)


def _trainings(jobs: list[Job]) -> None:
    st.subheader("Trainings", anchor=False)
    titles = {job.id: title(job) for job in jobs}
    number = st.selectbox(
        "Training", list(titles), width=560, key=f"training-{jobs[0].id}",
        format_func=titles.__getitem__,
    )  # fmt: skip
    try:
        show_job(shared, number)
    except HippoViewError as error:
        show_error(error)


datasets = shared.datasets.find()
trainings = shared.jobs.find()
at_work = bool(trainings) and trainings[0].active
if at_work:
    _trainings(trainings)
with st.expander("Add a data set", expanded=not datasets, icon=":material/add:"):
    add_data_set(shared)
rules_section(shared)
if datasets:
    _new(datasets)
if trainings and not at_work:
    _trainings(trainings)
if datasets and not trainings:
    st.info("No training yet. Press *Retrain*: the page may be closed meanwhile.",
            icon=":material/model_training:")  # fmt: skip
