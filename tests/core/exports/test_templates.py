"""Pages by templates: what is not escaped or not known is never written."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from core.exports.templates import render


def frame(**values):
    return render("core/exports/report_page.html", **values)


def test_text_is_escaped_and_drawings_are_not():
    assert "<h1>&lt;b&gt; &amp; &#34;c&#34;</h1>" in frame(title='<b> & "c"', notice="")
    assert "<h1><svg></svg></h1>" in frame(title=Markup("<svg></svg>"), notice="")


def test_a_name_that_nothing_fills_is_an_error():
    with pytest.raises(UndefinedError, match="notice"):
        frame(title="a")
