import pytest

from core.wording import counted


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 heads"), (1, "1 head"), (2, "2 heads"), (1200, "1,200 heads")]
)
def test_a_count_agrees_with_its_noun(count, words):
    assert counted(count, "head") == words
    assert counted(count, "person", "people").endswith("person" if count == 1 else "people")
