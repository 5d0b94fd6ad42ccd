"""Two versions on whole heads, as the Models page shows them."""

import numpy as np

from app.views.head_figures import speed_words, table_rows
from app.views.words import DASH
from core.models.registry import Version
from core.training.evaluation.head_figures import BY_LABEL, WHOLE, head_figures, side_rows
from tests.parts import Part

AFFINE = np.eye(4)


def block(first, length=8):
    labels = np.zeros((40, 20, 10), np.uint8)
    labels[first : first + 4, 4 : 4 + length, 3:7] = 2
    labels[first : first + 4, 8 : 4 + length, 3:7] = 1
    return labels


TRUTH = {"left": block(4), "right": block(30)}


def figures(length=8, *, source="synthetic", flagged=False, protocol=BY_LABEL, files="f"):
    masks = {"left": block(4, length), "right": block(30, length)}
    rows = side_rows(masks, TRUTH, AFFINE, protocol, flagged=flagged)
    named = [{"head": "h", "files": f"{files}{n}", "seen": False, **row}
             for n, row in enumerate(rows)]  # fmt: skip
    return head_figures(source, protocol, named, [{"head": "h", "seconds": 1.25}])


def version(number, *tests, **others):
    kept = {one["test_key"]: one for one in tests} | others
    return Version(number, "candidate", "", f"sha{number}", {}, kept, {})


def test_every_figure_has_its_unit_and_a_column_a_version():
    rows = {title: tuple(cells) for title, *cells in table_rows(figures(), figures(10))}
    assert rows["Found / flagged / missed"] == ("2 / 0 / 0 of 2 sides",) * 2
    assert rows["Dice"][0] == "1.000"  # of two sides there is no interval
    assert rows["Volume bias"] == ("+0.0 %", "+25.0 %")
    assert rows["Centre error, median"] == ("0.0 mm", "1.0 mm")
    assert rows["Time a head, median"] == ("1.2 s", "1.2 s")
    assert rows["r of the volumes"] == (DASH, DASH)  # two sides tell nothing
    assert "Dice anterior" in rows
    assert "Dice anterior" not in {
        title: rest for title, *rest in table_rows(figures(protocol=WHOLE), None)
    }


def test_a_version_that_was_not_tested_on_these_heads_says_so():
    rows = table_rows(None, figures(flagged=True))
    assert rows[0] == ("Found / flagged / missed", "not tested on these", "0 / 2 / 0 of 2 sides")


def test_the_time_counts_only_against_the_version_in_service():
    timed = {"kind": "latency", "against_sha256": "sha1", "ratio": 1.234, "cases": 10}
    words = speed_words(version(1), version(2, latency=timed))
    assert "1.23 times as long as version 1" in words
    assert speed_words(version(3), version(2, latency=timed)) == ""
    assert speed_words(version(1), version(2)) == ""


def shown(serving, other):
    def page():
        import streamlit as st

        from app.views.head_figures import whole_heads

        whole_heads(*st.session_state["versions"])

    return Part(page, versions=(serving, other)).at


def test_without_figures_the_page_says_what_to_do():
    page = shown(version(1), version(2, crops={"cases": []}, more={"kind": "later"}))
    assert "python -m core models test 2" in page.info[0].value
    assert not page.table


def test_a_table_for_each_source_of_the_heads_that_both_know():
    first, second = figures(), figures(10)
    real = figures(source="reviewed", files="r")
    page = shown(version(1, figures(files="old"), first), version(2, second, real))
    assert len(page.table) == 2
    titles = [line.value for line in page.markdown]
    assert [t for t in titles if "heads" in t and ": 1 head" in t] == [
        "**Reviewed heads of the frozen test set**: 1 head, protocol anterior and posterior",
        "**Synthetic heads**: 1 head, protocol anterior and posterior",
    ]
    reviewed, synthetic = (table.value for table in page.table)
    assert set(reviewed["Version 1, in service"]) == {"not tested on these"}
    assert "not tested on these" not in set(synthetic["Version 1, in service"])
    assert "Version 1 was not tested on these heads" in page.info[0].value
