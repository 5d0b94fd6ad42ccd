"""A shadow beside real requests: what is delivered does not change, whatever it makes of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from app.services import build_services
from core import limits
from core.pipeline import Caller
from core.settings import Settings
from core.shadow.figures import summaries
from tests.parts import Part
from tests.scans import as_bytes, example, image, stream
from tests.shadows import add_again, add_swapped
from tests.waiting import until

CLIENTS, EACH = 6, 1


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The parts of a server whose version 2 swaps the two labels."""
    folder = tmp_path_factory.mktemp("var")
    made = build_services(Settings(data_dir=folder, queue_size=2 * CLIENTS, mirroring="off"))
    made.predictors.load(before=made.registry.prepare)
    add_swapped(made.registry)
    yield made
    made.shadow.close()
    made.predictors.close()


@pytest.fixture(scope="module")
def without(shared):
    """Scans, and their masks while no shadow runs."""
    assert shared.shadow.choice().number is None
    sent = scans()
    return sent, [mask_of(shared, scan) for scan in sent]


@contextmanager
def running(shared, number):
    """The shadow as the server's thread runs it."""
    ends = threading.Event()

    def work():
        while not ends.is_set():
            shared.shadow.tick()
            ends.wait(0.01)

    shared.shadow.switch_on(number)
    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: shared.shadow.report(number).loaded_mib is not None, 60, 0.01)
    yield
    ends.set()
    thread.join()
    shared.shadow.switch_off(number)
    shared.shadow.tick()


@pytest.fixture
def no_pause(monkeypatch):
    """The shadow begins in each gap between two requests."""
    monkeypatch.setattr(limits, "SHADOW_QUIET_S", 0.0)


@pytest.fixture
def runs(shared, no_pause):
    """Version 2 runs as the shadow."""
    with running(shared, 2):
        yield


def scans() -> list[bytes]:
    """Scans whose masks all differ."""
    values, affine = np.asarray(example().dataobj), example().affine
    return [
        as_bytes(image(np.roll(values, number - 4, axis=1), affine)) for number in range(CLIENTS)
    ]


def mask_of(shared, scan, user="") -> bytes:
    return shared.analyse(stream(scan), "api", Caller(user)).mask_file


def test_what_is_delivered_is_the_same_byte_for_byte_and_nothing_is_mixed(shared, without, runs):
    sent, expected = without
    assert len(set(expected)) == CLIENTS

    def work(number):
        return [mask_of(shared, sent[number], str(number)) for _ in range(EACH)]

    for _ in range(2):  # a crowd, a pause in which the shadow gets on, a crowd once more
        before = shared.shadow.report(2).counts.compared
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(work, range(CLIENTS)))
        for number, own in enumerate(answers):
            assert own == [expected[number]] * EACH
        until(lambda before=before: shared.shadow.report(2).counts.compared > before, 30, 0.01)
    report = shared.shadow.report(2)
    assert report.counts.failed == 0
    assert report.counts.dropped > 0  # a busy server's scans are not queued without bound
    (found,) = summaries(report.rows)
    assert found.dice["total"] == pytest.approx(1, abs=0.01)
    assert found.dice["anterior"] < 0.3
    assert found.dice["posterior"] < 0.3


def test_a_case_keeps_the_mask_of_the_version_in_service(shared, runs):
    scan = as_bytes(example())
    delivered = mask_of(shared, scan)
    case = shared.segment_and_keep(stream(scan), "x", Caller())
    rows = until(
        lambda: [r for r in shared.shadow.report(2).rows if r.case_id == case.id], 30, 0.01
    )
    assert len(rows) == 1
    assert shared.cases.mask_file(case.id) == delivered
    assert shared.cases.get(case.id).report["model"]["version"] == "1"
    shared.delete_case(case.id)
    assert [r for r in shared.shadow.report(2).rows if r.case_id == case.id] == []


class Section(Part):
    """The page's section."""

    def __init__(self, shared):
        def page():
            import streamlit as st

            from app.views.shadow import shadow_section

            shared = st.session_state["shared"]
            shadow_section(shared, shared.registry.find())

        super().__init__(page, shared=shared)

    @property
    def words(self):
        parts = (self.at.markdown, self.at.info, self.at.warning, self.at.caption, self.at.error)
        return " ".join(element.value for part in parts for element in part)


def test_the_page_switches_it_on_shows_the_figures_and_says_why_it_ended(
    shared, no_pause, monkeypatch
):
    from app.views import shadow as view

    monkeypatch.setattr(view, "is_admitted", lambda: True)
    section = Section(shared)
    section.at.button[0].click()
    section.run()
    assert shared.shadow.choice().number == 2
    assert "It is loaded within the next moment in which nobody waits" in section.words
    shared.shadow.tick()
    case = shared.segment_and_keep(stream(as_bytes(example())), "x", Caller())
    shared.shadow.tick()
    section.run()
    assert "MiB of this server's memory" in section.words
    assert section.at.dataframe[0].value["Of"].tolist() == ["crops"]
    assert f"[{case.id}](/cases?case={case.id})" in section.at.table[0].value["Case"].tolist()
    shared.registry.promote(2)
    shared.shadow.tick()
    shared.registry.roll_back(1)
    section.run()
    assert "No shadow runs. Version 2 went into service." in section.words


def test_without_another_version_the_page_says_what_to_do(shared):
    def page():
        import streamlit as st

        from app.views.shadow import shadow_section

        shared = st.session_state["shared"]
        shadow_section(shared, [v for v in shared.registry.find() if v.number == 1])

    at = Part(page, shared=SimpleNamespace(shadow=shared.shadow, registry=shared.registry)).at
    assert "makes a candidate" in at.info[0].value


# 510 requests of twelve clients, or a sample.
@pytest.mark.parametrize("each", [2, pytest.param(42, marks=pytest.mark.long)])
def test_a_promotion_beside_a_shadow_fails_and_mixes_nothing(each, shared, without, no_pause):
    registry, (sent, before) = shared.registry, without
    answers = []

    def work(client, times):
        for _ in range(times):
            number = client % CLIENTS
            analysis = shared.analyse(stream(sent[number]), "api", Caller(str(client)))
            answers.append((analysis.segmentation.model.version, number, analysis.mask_file))

    with running(shared, add_again(registry).number), ThreadPoolExecutor(2 * CLIENTS) as pool:
        clients = [pool.submit(work, client, each) for client in range(2 * CLIENTS)]
        until(lambda: answers, 120, 0.01)
        shared.predictors.swap(partial(registry.open, 2), partial(registry.promote, 2))
        clients += [pool.submit(work, client, 1) for client in range(CLIENTS)]
        for client in clients:
            client.result()
    after = [mask_of(shared, scan) for scan in sent]
    assert set(before).isdisjoint(after)
    assert len(answers) == 2 * CLIENTS * each + CLIENTS
    expected = {"1": before, "2": after}
    assert all(mask == expected[version][number] for version, number, mask in answers)
    assert {version for version, _, _ in answers} == {"1", "2"}
