"""What the Retrain page says of a data set: crops and heads, and scans without a patient."""

from types import SimpleNamespace

import pytest

from app.operations import heads_to_test_on
from app.views import trainings
from app.views.who_trains import where_it_runs
from core.settings import Settings
from core.state.database import connect
from core.state.tables import JOBS
from core.training.config import TrainingRequest, estimate_s
from core.training.data.dataset import Dataset, Entry
from core.training.data.names import case_name
from core.training.data.preparation import Report
from core.training.jobs import Jobs
from core.training.leases import claim
from core.training.worker import Worker
from tests.parts import Part


def dataset(name, heads, crops=0):
    """Heads of two sides, of which one in three is tested on."""
    cases = {}
    for number in range(heads):
        head = f"HV-{number:06}"
        tested = number % 3 == 0
        for side in ("left", "right"):
            for cut in range(1 if tested else 3):
                case = case_name(head, side, cut)
                cases[case] = Entry(f"P-{number}", case, case, case, -1 if tested else number % 5)
    for number in range(crops):
        cases[f"c{number}"] = Entry(f"C-{number}", f"c{number}", "", "", -(number % 2))
    return Dataset(name, cases, "0123456789abcdef")


@pytest.fixture(autouse=True)
def nothing_reviewed_since(monkeypatch):
    monkeypatch.setattr(trainings, "changes", lambda cases, storage: None)


class Summary(Part):
    """The summary of a data set."""

    def __init__(self, made):
        def page():
            import streamlit as st

            from app.views.trainings import data_set_summary

            data_set_summary(st.session_state["shared"], st.session_state["dataset"])

        report = Report().as_dict()
        datasets = SimpleNamespace(report=lambda name: report)
        shared = SimpleNamespace(datasets=datasets, cases=None, storage=None)
        super().__init__(page, shared=shared, dataset=made)

    def __getitem__(self, title):
        table = self.at.table[0].value
        return table.loc[title].iloc[0]


def test_scans_and_the_crops_cut_from_them_are_told_apart():
    summary = Summary(dataset("mixed", heads=6, crops=4))
    assert summary["Scans"] == "6 heads and 4 crops, of 10 patients"
    assert summary["To train on"] == "26 crops: 24 cut from 4 heads, 2 as they came; in five folds"
    assert summary["Frozen test set"] == "6 crops: 4 cut from 2 heads, 2 as they came"
    assert any("Of each side of a head 3 crops are cut" in c.value for c in summary.at.caption)


def test_crops_alone_are_plainly_counted():
    summary = Summary(dataset("crops", heads=0, crops=4))
    assert summary["Scans"] == "4 crops, of 4 patients"
    assert summary["To train on"] == "2 crops; in five folds"
    assert not any("Of each side" in caption.value for caption in summary.at.caption)


def test_the_time_counts_the_heads_that_the_version_is_tested_on():
    shared = SimpleNamespace(settings=SimpleNamespace(test_heads=8))
    reviewed = dataset("reviewed", heads=6)
    assert heads_to_test_on(shared, [dataset("other", heads=9)]) == 8
    assert heads_to_test_on(shared, [reviewed]) == 10
    config = TrainingRequest("x", "quick", ["epochs=1"]).config()
    assert estimate_s(config, 5, test_heads=10) - estimate_s(config, 5) >= 50


class Who(Part):
    """What Retrain says of the workers of an installation."""

    def __init__(self, database, **settings):
        def page():
            import streamlit as st

            from app.views.who_trains import where_it_trains, who_trains

            who_trains(st.session_state["shared"])
            st.markdown(where_it_trains(st.session_state["shared"]))

        cases = SimpleNamespace(acts=SimpleNamespace(engine=database))
        super().__init__(page, shared=SimpleNamespace(cases=cases, settings=Settings(**settings)))

    @property
    def words(self):
        at = self.at
        return " ".join(each.value for each in (*at.warning, *at.caption, *at.markdown))


def test_where_no_worker_is_alive_the_page_says_how_to_start_one(tmp_path):
    engine = connect(tmp_path)
    assert Who(engine).words == "on this machine"
    waiting = Who(engine, engine="workers")
    assert "python -m core worker" in waiting.words
    worker = Worker(engine, None, tmp_path / "w", 60)
    worker._give_sign()
    waiting.run()
    assert "1 worker on" in waiting.words
    assert "0 at work" in waiting.words
    worker._leave()
    waiting.run()
    assert "No worker is alive" in waiting.words


def test_a_training_says_which_machine_runs_it(tmp_path):
    engine = connect(tmp_path)
    jobs = Jobs(engine, tmp_path, trains=False)
    job = jobs.submit({})
    assert where_it_runs(job) == ""
    claim(engine, "a worker")
    assert "by a worker" in where_it_runs(jobs.get(job.id))
    with engine.begin() as connection:
        connection.execute(JOBS.update().values(host="gpu-3"))
    assert "gpu-3" in where_it_runs(jobs.get(job.id))
