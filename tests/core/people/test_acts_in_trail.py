"""Every place that writes is an act with a line in the trail, or says here why it is none."""

import ast
import re

import pytest

from core.people import audit
from core.settings import ROOT

SOURCES = sorted((ROOT / "core").rglob("*.py")) + sorted((ROOT / "app").rglob("*.py"))

# Transactions that write and are nobody's act.
NO_ACTS = {
    "core/cases/acts.py:remove": "a removal has begun; its line comes with the end",
    "core/cases/caretaker.py:_import_all": "words of lists, as this version puts them",
    "core/cases/drafts.py:keep": "what a person draws, before it is saved",
    "core/cases/drafts.py:drop": "the same, given up",
    "core/drift/chains.py:begin": "the server begins to follow the scans against a reference",
    "core/drift/chains.py:take_in": "what a scan adds, whose upload has its line",
    "core/drift/notices.py:_claim": "the server sends a message about drift",
    "core/drift/notices.py:_end": "the same, taken or given up",
    "core/drift/notices.py:_send": "the same, to be tried again",
    "core/drift/notices.py:note": "a state of the drift, which nobody chose",
    "core/drift/sites.py:_begin_alone": "the server begins to follow another site's scans",
    "core/drift/sites.py:add": "scores of a scan that is no case here",
    "core/models/registrations.py:_row": "a number, taken before a version is registered",
    "core/models/registrations.py:forget": "a registration that has ended",
    "core/models/registrations.py:give_up": "a registration that has failed",
    "core/models/registrations.py:write_records_behind": "the record follows the row",
    "core/people/audit.py:recording": "the one place where lines are written",
    "core/people/sign_ins.py:touch": "a sign-in goes on",
    "core/shadow/figures.py:add": "figures of a scan whose upload has its line",
    "core/state/database.py:agree": "the server notes the key that it encrypts with",
    "core/state/database.py:connect": "a new form of the tables",
    "core/state/keys.py:agree_on_keys": "the first server notes which keys the others need",
    "core/state/renewal.py:renew": "the same content in another form; the command has its line",
    "core/state/renewal.py:_renew_column": "the same",
    "core/training/jobs.py:_start": "the server starts what was asked for",
    "core/training/job_logs.py:write": "a training's log",
    "core/training/leases.py:claim": "a worker takes what was asked for",
    "core/training/leases.py:tick": "the server looks whether a training lives",
    "core/training/ray_jobs.py:_fail": "Ray could not train what was asked for",
    "core/training/ray_jobs.py:_say": "a training tells how far it is",
    "core/training/work.py:_update": "the same",
    "core/training/work.py:epoch": "the same",
    "core/training/work.py:begin": "the same",
    "core/training/worker.py:_give_sign": "a worker lives",
    "core/training/worker.py:_leave": "a worker ends",
    "core/training/worker.py:follow": "a training has ended",
    "core/training/jobs.py:tick": "the server looks whether a training lives",
    "core/training/rules.py:note": "why a training could not be queued",
    "core/training/rules.py:saw": "a state of the drift, which nobody chose",
}
# Writes to the storage, by the act whose line tells of them, or why there is none.
STORAGE = {
    "core/cases/acts.py": "the record is the act; its line comes with the row",
    "core/cases/caretaker.py": "files that no record names",
    "core/cases/corrections.py": "a mask that the record will name, or that it never named",
    "core/cases/origins.py": "of a case that is being created or removed",
    "core/drift/baseline.py": "the server freezes what people accepted",
    "core/drift/normal.py": "its line is written before",
    "core/exports/drift_reports.py": "the server's own report of a week or a month",
    "core/models/registrations.py": "of a version that is being registered or was given up",
    "core/models/registry.py": "of a version that is being registered",
    "core/models/service_log.py": "the list is the act; its line comes with the rows",
    "core/people/audit_archive.py": "the trail's own copies",
    "core/people/kept.py": "the accounts follow the database",
    "core/references/groups.py": "its line is written before",
    "core/state/storage.py": "the storage itself",
    "core/training/data/dataset.py": "a data set that a training is asked for on",
    "core/training/data/leftovers.py": "what is left of a case whose removal has its line",
    "core/training/data/prepare.py": "a data set that a training is asked for on",
    "core/training/data/reviewed.py": "a data set that a training is asked for on",
    "core/training/kept.py": "the checkpoints of a training that was asked for",
    "core/upkeep/restore.py": "what a restore takes up, whose line comes with its end",
}


def functions(path, word):
    """The functions of a source that holds a word."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)) if word in text else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def calls(node):
    return [each for each in ast.walk(node) if isinstance(each, ast.Call)]


def name_of(call):
    """The dotted name of what is called."""
    node, parts = call.func, []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)])


def writers():
    """Functions that begin a transaction that writes, other than by `recording`."""
    return {
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in SOURCES
        for function in functions(path, ".begin()")
        for call in calls(function)
        if re.fullmatch(r"(self\.)?_?engine\.begin", name_of(call))
    }


def recorders():
    """Functions that use `recording`, with whether they write a line, or call what does."""
    lined = re.compile(r"(audit\.|self\.|job_rows\.)?(_?record(_line|_alone)?|begin|put_row|queue)")
    return {
        f"{path.relative_to(ROOT)}:{function.name}": any(
            lined.fullmatch(name_of(call).replace("self.lines.", "self."))
            for call in calls(function)
        )
        for path in SOURCES
        for function in functions(path, "recording(")
        if any(name_of(call) in ("recording", "audit.recording") for call in calls(function))
    }


def storage_writers():
    return {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "storage" in path.read_text()
        for call in calls(ast.parse(path.read_text()))
        if re.search(r"storage\.(write|replace|delete|delete_folder)$", name_of(call))
    }


def acts_named():
    """Every act that the code writes a line of."""
    named = set()
    texts = {path: path.read_text() for path in SOURCES}
    for text in (text for text in texts.values() if re.search(r"record|_change|act=", text)):
        for call in calls(ast.parse(text)):
            name = name_of(call).rpartition(".")[2]
            words = {
                each.value
                for part in (*call.args, *(word.value for word in call.keywords))
                for each in ast.walk(part)
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            }
            if name in ("record", "record_line", "record_alone", "noted", "_change", "_write"):
                named |= words & set(audit.ACTS)
            named |= {
                word.value.value
                for word in call.keywords
                if word.arg == "act" and isinstance(word.value, ast.Constant)
            } & set(audit.ACTS)
    return named


def test_a_transaction_that_writes_leaves_a_line_or_stands_here_with_a_reason():
    assert writers() == set(NO_ACTS)


def test_whoever_records_writes_a_line():
    assert [where for where, lined in recorders().items() if not lined] == []
    assert len(recorders()) > 20


def test_a_write_to_the_storage_is_of_an_act_that_has_its_line():
    assert storage_writers() - {"core/state/bucket.py"} == set(STORAGE) - {"core/state/storage.py"}


def test_every_act_that_the_trail_knows_is_in_the_code_and_none_besides():
    # What a promotion against the gate is called is chosen where its line is written.
    by_hand = {"promote", "override", "roll back"}
    source = (ROOT / "core" / "models" / "in_service.py").read_text()
    assert all(f'"{act}"' in source for act in by_hand)
    assert acts_named() | by_hand == set(audit.ACTS)


@pytest.mark.parametrize(
    "line",
    [
        "    with self._engine.begin() as connection:\n        connection.execute(1)\n",
        "    with engine.begin() as connection:\n        connection.execute(1)\n",
    ],
)
def test_a_new_write_without_a_line_is_noticed(line, tmp_path, monkeypatch):
    new = tmp_path / "new.py"
    new.write_text(f"def act(self, engine):\n{line}")
    monkeypatch.setattr("tests.core.people.test_acts_in_trail.SOURCES", [new])
    monkeypatch.setattr("tests.core.people.test_acts_in_trail.ROOT", tmp_path)
    assert writers() == {"new.py:act"}
