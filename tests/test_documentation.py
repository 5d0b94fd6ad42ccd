"""The documentation says what the code is: settings, errors, commands, decisions, words."""

import ast
import dataclasses
import re
import subprocess
import sys

import pytest

from core import settings as settings_module
from core.settings import ROOT, Settings, variable_of
from scripts.site import decisions, model
from tests.error_codes import codes_in, is_in

DOCS = ROOT / "docs"
# Defaults that are said in words.
IN_WORDS = {"oidc_name": "its host"}
MOST_PICTURES, MOST_BYTES = 14, 150_000
PATH_IN_TEXT = re.compile(r"`((?:core|app|pages|tests|benchmarks|scripts)/[\w/.-]*\w)`")


def rows(page: str) -> list[list[str]]:
    """Cells of all tables of a page, without their heads."""
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    return [re.split(r" \| ", line.strip("| ")) for line in lines]


def codes_on(page: str) -> set[str]:
    return {code for row in rows(page) for code in re.findall(r"`([a-z0-9_]+)`", row[0])}


def test_every_setting_has_one_row_with_its_default_and_its_words():
    table = rows((DOCS / "settings.md").read_text())
    assert [row[0].strip("`") for row in table if len(row) != 3] == []
    said = {name.strip("`"): (default.strip("`/"), what) for name, default, what in table}
    assert len(said) == len(table), "a setting stands there twice"
    fields = {variable_of(field.name): field for field in dataclasses.fields(Settings)}
    assert set(said) == set(fields)
    for variable, field in fields.items():
        default = IN_WORDS.get(field.name) or str(field.default).removeprefix(f"{ROOT}/") or "none"
        assert said[variable][0] == default, variable
        for word in settings_module._WORDS.get(field.name, ()):
            assert f"`{word}`" in said[variable][1] or word == default, (variable, word)


def test_every_error_and_warning_stands_on_the_page_of_errors_and_no_other():
    page = (DOCS / "errors.md").read_text()
    raised, told = codes_in(), codes_on(page)
    missing = sorted(each for each in raised if not any(re.fullmatch(each, c) for c in told))
    assert missing == [], "add these to docs/errors.md: what it means, what to do"
    assert sorted(code for code in told if not is_in(code, raised)) == []
    assert [row for row in rows(page) if len(row) != 3 or not all(row)] == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('raise InputError("No", "Yes", code="never_seen")', "never_seen"),
        ("class A(Exception):\n    code = 'of_a_class'", "of_a_class"),
        ('WORD = "of_a_name"\nraise InputError("No", code=WORD)', "of_a_name"),
        ('Refusal(421, "of_the_guard", "No", "Yes")', "of_the_guard"),
        ('Finding("warning", "of_a_scan", "No")', "of_a_scan"),
        ('raise E("No", code=f"{side}_of_a_side")', "[a-z]+_of_a_side"),
    ],
)
def test_a_new_code_is_seen_in_whatever_way_it_is_given(line, code, tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "new.py").write_text(line)
    assert codes_in(tmp_path) == {code}


def test_every_command_is_named_where_people_look_for_it():
    """Of each command the group or itself, in the README or on the page of operations."""
    tree = ast.parse((ROOT / "core" / "__main__.py").read_text())
    table = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_MODULES"
    )
    text = (ROOT / "README.md").read_text() + (DOCS / "operations.md").read_text()
    unnamed = {name for name in table if not re.search(rf"python -m core {name}\b", text)}
    assert unnamed == set()


def test_every_decision_has_a_number_and_a_title():
    titles = decisions.titles()
    numbers = [number for number, _ in titles.values()]
    assert len(numbers) == len(set(numbers)) == len([*(DOCS / "decisions").glob("0*.md")])
    assert all(title.strip() for _, title in titles.values())


def test_a_decision_without_a_title_is_noticed(tmp_path):
    (tmp_path / "0099-new.md").write_text("# 98. Another number\n")
    with pytest.raises(ValueError, match=r"0099-new\.md begins with"):
        decisions.titles(tmp_path)


def test_what_a_decision_names_is_there_or_it_is_said_where_it_went():
    went = {row[0].strip("`") for row in rows((DOCS / "where-things-went.md").read_text())}
    gone = {
        (page.name, path)
        for page in (DOCS / "decisions").glob("0*.md")
        for path in PATH_IN_TEXT.findall(page.read_text("utf-8"))
        if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists()
    }
    assert {entry for entry in gone if entry[1] not in went} == set()
    assert went <= {path for _, path in gone}, "it is there again, or no decision names it"


def test_the_words_of_the_glossary_live_where_it_says():
    page = (DOCS / "glossary.md").read_text()
    named = re.findall(r"\| `([\w/]+\.py)`, `(\w+)`", page)
    assert len(named) > 30
    lost = [
        (file, name)
        for file, name in named
        if not re.search(
            rf"^(class|def) {name}\b|^{name}\b.* = ", (ROOT / file).read_text(), flags=re.M
        )
    ]
    assert lost == []


def test_the_card_of_the_model_is_a_page_and_says_its_limits():
    page = model.page()
    assert all(limit in page for limit in model.card()["limits"])
    assert "not for diagnosis" in page


def test_pictures_are_small_and_each_is_shown():
    pictures = sorted((DOCS / "pictures").glob("*.png"))
    assert 0 < len(pictures) <= MOST_PICTURES
    assert [p.name for p in pictures if p.stat().st_size >= MOST_BYTES] == []
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert [p.name for p in pictures if f"(pictures/{p.name})" not in text] == []


def test_links_between_pages_lead_somewhere():
    """What `make docs` checks as well, without its program; generated pages are not there yet."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    broken = [
        (page.name, target)
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", page.read_text("utf-8"))
        if "generated/" not in target and "decisions/index" not in target
        if (page.parent.name != "generated" and page.name != "index.md") or page.parent == DOCS
        if not (page.parent / target.split("#")[0]).exists()
    ]
    assert broken == []


@pytest.mark.long
def test_the_site_is_built_without_a_warning(tmp_path):
    """Its program is installed as `make docs` does, from the pins and hashes."""
    from scripts.site import __main__ as site

    site.main()
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run(
        [venv / "bin/pip", "install", "-q", "--require-hashes", "-r", "requirements-docs.txt"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [venv / "bin/mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        assert "Not for diagnosis" in page.read_text("utf-8"), page.name
    assert len([*(tmp_path / "site").rglob("index.html")]) > 60
