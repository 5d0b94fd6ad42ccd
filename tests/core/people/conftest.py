"""What the tests of people share."""

import pytest

from core.people import passwords
from tests.core.people.house import CHEAP, People


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    passwords._of_nobody.cache_clear()
    yield
    passwords._of_nobody.cache_clear()


@pytest.fixture
def people(tmp_path, cheap):
    made = People(tmp_path)
    made.add("Root", "administrator")
    return made
