"""No command deletes from, or writes into, a folder that it did not make."""

import json

import pytest

from core.__main__ import main
from core.errors import InputError
from core.settings import ROOT
from core.state.claim import MARK_NAME, claim, is_marked
from tests.datasets import made


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def diary(tmp_path):
    """Somebody's folder: names that a training writes as well, and one that it does not."""
    folder = tmp_path / "diary"
    for name in ("raw", "preprocessed", "results", "model", "masks"):
        (folder / name).mkdir(parents=True)
        (folder / name / "patient.nii").write_bytes(b"the only copy")
    for name in ("log.txt", "events.jsonl", "card.json", "report.html", "sweep.txt", "notes.md"):
        (folder / name).write_text("kept")
    return folder


def test_a_missing_or_empty_folder_is_taken_and_known_again(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "b"):
        claim(folder, "training")
        (folder / "log.txt").write_text("ours")
        claim(folder, "training")
        assert (folder / "log.txt").read_text() == "ours"


def test_somebodys_folder_is_refused_and_stays_as_it_is(diary):
    before = contents(diary)
    with pytest.raises(InputError, match="not made by this command") as caught:
        claim(diary, "training")
    assert "does not exist yet" in caught.value.hint
    assert contents(diary) == before
    with pytest.raises(InputError, match="is a file"):
        claim(diary / "notes.md", "training")
    with pytest.raises(InputError, match="cannot be made"):
        claim(diary / "notes.md" / "below", "training")


def test_a_mark_of_somebody_else_is_none(diary):
    for content in ("", "[]", '{"kind": "training"}', '{"made_by": "me", "kind": "training"}'):
        (diary / MARK_NAME).write_text(content)
        with pytest.raises(InputError):
            claim(diary, "training")


def test_a_file_has_no_mark(tmp_path):
    (tmp_path / "log").write_text("of somebody who looked on")
    assert not is_marked(tmp_path / "log", "job")


def test_our_folder_of_another_kind_is_refused_unless_it_may_be_used(tmp_path):
    claim(tmp_path / "run", "training")
    with pytest.raises(InputError, match="another kind"):
        claim(tmp_path / "run", "sweep")
    claim(tmp_path / "run", "evaluation", also=("training",))


def test_what_dvc_puts_there_first_is_nobodys(tmp_path):
    (tmp_path / ".gitignore").write_text("/run.json\n")
    claim(tmp_path, "training")
    assert is_marked(tmp_path, "training")


def test_a_training_throws_away_only_what_one_of_ours_left(diary, tmp_path):
    from core.training import run_folder as runs

    asked = {"dataset_sha256": "a", "configuration": {}}
    before = contents(diary)
    with pytest.raises(InputError, match="not empty"):
        runs._claim(diary, asked)
    (diary / "run.json").write_text('{"job": "somebody else\'s"}')
    with pytest.raises(InputError, match="not empty"):
        runs._claim(diary, asked)
    (diary / "run.json").unlink()
    assert contents(diary) == before

    run = tmp_path / "run"
    runs._claim(run, asked)
    (run / "results").mkdir()
    (run / "results" / "checkpoint").write_bytes(b"goes on from here")
    runs._claim(run, asked)
    assert (run / "results" / "checkpoint").is_file()
    (run / "run.json").unlink()  # as DVC does once the request has changed
    (run / "notes.md").write_text("a person's")
    runs._claim(run, asked | {"dataset_sha256": "b"})
    assert not (run / "results").exists()
    assert (run / "notes.md").is_file()
    with pytest.raises(runs.TrainingError, match="another dataset"):
        runs._claim(run, asked)


def test_a_run_that_an_earlier_version_began_goes_on(tmp_path):
    from core.training import run_folder as runs

    asked = {"dataset_sha256": "a", "configuration": {}}
    (tmp_path / "results").mkdir()
    (tmp_path / "run.json").write_text(json.dumps(asked))
    runs._claim(tmp_path, asked)
    assert (tmp_path / "results").is_dir()


@pytest.mark.parametrize(
    "command",
    [
        ("train", "one", "--out"),
        ("sweep", "one", "--preset", "cpu", "--out"),
        ("evaluate", "one", str(ROOT / "models" / "hippocampus-3d-16"), "--out"),
        ("models", "export", "1"),
        ("models", "export", "1", "--nnunet"),
        ("models", "join", "one", "1", "1", "--out"),
    ],
)
def test_every_command_that_fills_a_folder_refuses_anothers(
    command, diary, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path / "var"))
    assert main(["data", "prepare", str(made(tmp_path / "source", 10)), "--name", "one"]) == 0
    before = contents(diary)
    assert main([*command, str(diary)]) == 1
    assert "not made by this command" in capsys.readouterr().err
    assert contents(diary) == before
