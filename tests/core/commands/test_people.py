"""``python -m core people``: accounts for whoever has the command line."""

import io

import pytest

from core.__main__ import main
from core.people import passwords
from core.people.sign_ins import SignIns
from core.state.database import connect
from tests.core.people.house import CHEAP, PASSWORD


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HIPPOVIEW_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    return tmp_path


def add(monkeypatch, name, role, *more, password=PASSWORD):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["people", "add", name, "--role", role, "--password-stdin", *more])


def test_people_are_added_changed_and_listed(folder, monkeypatch, capsys):
    assert add(monkeypatch, "Rita", "reader") == 1  # the first is an administrator
    assert "administrator" in capsys.readouterr().err
    assert add(monkeypatch, "Anna Berg", "administrator") == 0
    assert add(monkeypatch, "Rita", "reader", "--group", "memory") == 0
    assert add(monkeypatch, "backup", "service") == 0
    assert main(["people", "change", "rita", "--group", "memory", "--group", "ward-3"]) == 0
    assert main(["people", "switch-off", "Anna Berg"]) == 1  # the last administrator
    capsys.readouterr()
    assert main(["people", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Anna Berg\tadministrator\t-", "backup\tservice\t-", "Rita\treader\tmemory, ward-3",
    ]  # fmt: skip


def test_a_code_and_a_token_are_printed_and_a_password_never(folder, monkeypatch, capsys):
    add(monkeypatch, "Anna", "administrator")
    add(monkeypatch, "backup", "service")
    assert add(monkeypatch, "Rita", "reader", password="short") == 1
    assert "short" not in "".join(capsys.readouterr())
    assert main(["people", "token", "backup", "--scope", "segment", "--days", "2"]) == 0
    token = capsys.readouterr().out.strip()
    who = SignIns(connect(folder)).who_bears(token)
    assert (who.name, who.scopes) == ("backup", {"segment"})
    assert main(["people", "code", "Anna"]) == 0
    assert len(capsys.readouterr().out.strip()) >= 24
    assert main(["people", "code", "nobody"]) == 1
