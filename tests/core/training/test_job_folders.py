"""Folders of trainings that a lost database knew: they go after a week, and no others."""

import os
import shutil
import sqlite3
import time

import pytest

from core.limits import CARE_EVERY_S
from core.state.claim import MARK_NAME, claim
from core.state.database import DATABASE_NAME, connect
from core.training.job_folders import JobFolders, occupy
from core.training.jobs import Jobs
from tests.ends import in_child
from tests.tiny_models import lose_database

DAY_S = 24 * 3600


def jobs_of(data_dir):
    return Jobs(connect(data_dir), data_dir)


def folders_of(data_dir, days=0.0, clock=time.monotonic):
    return JobFolders(connect(data_dir), data_dir, lambda: time.time() + days * DAY_S, clock)


@pytest.fixture
def folder(tmp_path):
    """Of a job that ended; its process has marked it."""
    jobs = jobs_of(tmp_path)
    folder = jobs.folder(jobs.submit({}).id)

    def work():
        occupy(folder)
        (folder / "results" / "fold_0").mkdir(parents=True)
        (folder / "results" / "fold_0" / "checkpoint.pth").write_bytes(b"many")

    assert in_child(work) == 0
    return folder


def test_a_lost_databases_folder_goes_a_week_after_it_last_changed(folder, tmp_path):
    lose_database(tmp_path)
    assert folders_of(tmp_path).purge_expired() == 0
    assert folders_of(tmp_path, 6.9).purge_expired() == 0
    # Written to below, where the folder's own time does not tell.
    late = time.time() + 5 * DAY_S
    os.utime(folder / "results" / "fold_0" / "checkpoint.pth", (late, late))
    assert folders_of(tmp_path, 7.1).purge_expired() == 0
    assert (folder / "results" / "fold_0" / "checkpoint.pth").is_file()
    assert folders_of(tmp_path, 12.1).purge_expired() == 1
    assert list((tmp_path / "jobs").iterdir()) == []


def test_the_week_begins_when_the_database_is_lost_and_ends_when_it_is_back(folder, tmp_path):
    database = tmp_path / DATABASE_NAME
    with sqlite3.connect(database) as there, sqlite3.connect(tmp_path / "backup") as backup:
        there.backup(backup)
    lose_database(tmp_path)
    assert folders_of(tmp_path, 1000).purge_expired() == 0
    assert folders_of(tmp_path, 1006.9).purge_expired() == 0
    lose_database(tmp_path)
    shutil.copy(tmp_path / "backup", database)
    assert folders_of(tmp_path, 1008).purge_expired() == 0
    lose_database(tmp_path)
    assert folders_of(tmp_path, 1009).purge_expired() == 0
    assert folders_of(tmp_path, 1015.9).purge_expired() == 0
    assert folders_of(tmp_path, 1016.1).purge_expired() == 1


def test_a_folder_whose_job_is_known_stays(folder, tmp_path):
    (folder / MARK_NAME).unlink()  # an earlier program did not mark it
    assert folders_of(tmp_path, 1000).purge_expired() == 0
    assert folder.is_dir()
    lose_database(tmp_path)
    assert [folders_of(tmp_path, days).purge_expired() for days in (1000, 1008)] == [0, 1]


def test_a_folder_in_which_a_process_works_stays(folder, tmp_path):
    lose_database(tmp_path)
    held = occupy(folder)
    assert [folders_of(tmp_path, days).purge_expired() for days in (1000, 1008)] == [0, 0]
    assert (folder / "results" / "fold_0" / "checkpoint.pth").is_file()
    os.close(held)
    assert folders_of(tmp_path, 1008).purge_expired() == 1


def test_what_is_not_ours_stays(folder, tmp_path):
    lose_database(tmp_path)
    (folder / MARK_NAME).unlink()
    others = tmp_path / "elsewhere"
    shutil.copytree(folder, others)
    occupy(others)
    (tmp_path / "jobs" / "link").symlink_to(others)
    (tmp_path / "jobs" / "notes.txt").write_text("mine")
    claim(tmp_path / "jobs" / "mine", "training")  # `train --out`
    assert [folders_of(tmp_path, days).purge_expired() for days in (1000, 1008)] == [0, 0]
    assert (tmp_path / "jobs" / "mine" / MARK_NAME).is_file()
    assert (folder / "results").is_dir()
    assert (others / "results").is_dir()


def test_they_are_looked_after_at_the_start_and_once_a_day(folder, tmp_path):
    now = [5.0]
    folders = folders_of(tmp_path, 1000, lambda: now[0])
    folders.tick()
    lose_database(tmp_path)
    folders._engine = connect(tmp_path)
    now[0] += CARE_EVERY_S - 1
    folders.tick()
    assert folder.is_dir()
    now[0] += 1
    folders.tick()
    assert folder.is_dir()
    folders._now = lambda: time.time() + 1008 * DAY_S
    now[0] += CARE_EVERY_S
    folders.tick()
    assert not folder.exists()
