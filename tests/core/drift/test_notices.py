"""A change of drift's state is told once, whatever fails between."""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from core.drift import notices as notices_module
from core.drift.chains import Chain
from core.drift.channels import Mail, Webhook, channels_of, secret_bytes, signature_of
from core.drift.cusum import Thresholds
from core.drift.notices import GIVEN_UP_AFTER_DAYS, Notices, NotSentError
from core.errors import SettingsError
from core.settings import ROOT, Settings
from core.state.database import connect, reading
from core.state.tables import DRIFT_CHAINS, DRIFT_NOTICES
from tests.mails import HookServer, SmtpServer, serving

AT = "2026-11-30T10:00:00.000+00:00"
SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Box:
    """A channel that keeps what it is sent, or refuses."""

    name: str = "box"
    sent: list = field(default_factory=list)
    is_down: bool = False

    def send(self, key, content):
        if self.is_down:
            raise NotSentError("it is down")
        self.sent.append((key, content["before"], content["state"]))


class Place:
    def __init__(self, folder):
        self.engine = connect(folder)
        self.box = Box()
        self.promotion = 0
        self.promote()

    def promote(self, severity="quiet"):
        self.promotion += 1
        self.chain = Chain(
            "crop", self.promotion, 500, f"{AT}{self.promotion}",
            Thresholds(9, 13, 500, 5000, 2000), 7, severity, "", 1.0, (),
        )  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(DRIFT_CHAINS.insert().values(
                kind="crop", promotion=self.promotion, reference="r", run_length=500,
                version=self.promotion, began_at=self.chain.began_at, thresholds="{}", sums="{}",
                scans=7, severity=severity, since="",
            ))  # fmt: skip

    def become(self, severity):
        self.chain = replace(self.chain, severity=severity)
        with self.engine.begin() as connection:
            mine = DRIFT_CHAINS.c.promotion == self.promotion
            connection.execute(DRIFT_CHAINS.update().where(mine).values(severity=severity))

    def another(self, *channels):
        """As a server after a restart, or another process beside it."""
        return Notices(self.engine, channels or (self.box,))

    def look(self):
        each = self.another()
        each.note({"crop": self.chain, "head": None})
        each.send_due()

    def told(self):
        return [change for _, *change in self.box.sent]

    def rows(self):
        with reading(self.engine) as connection:
            return connection.execute(select(DRIFT_NOTICES)).all()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def hours(monkeypatch):
    """Moves the clock."""
    moved = [0.0]

    def now(offset_s=0.0):
        at = datetime.now(UTC) + timedelta(hours=moved[0], seconds=offset_s)
        return at.isoformat(timespec="milliseconds")

    monkeypatch.setattr(notices_module, "timestamp", now)
    return lambda count: moved.__setitem__(0, moved[0] + count)


def test_each_change_is_told_once_and_the_first_quiet_is_none(place):
    place.look()
    assert place.told() == []
    for severity in ("watch", "watch", "act", "quiet", "quiet"):
        place.become(severity)
        place.look()
        place.look()
    assert place.told() == [["quiet", "watch"], ["watch", "act"], ["act", "quiet"]]
    assert len({key for key, *_ in place.box.sent}) == 3


def test_a_chain_that_begins_anew_ends_the_alarm_of_before(place):
    place.become("act")
    place.look()
    before = place.chain
    place.promote()
    place.look()
    # A process that has not seen the promotion yet does not raise it again.
    place.another().note({"crop": before, "head": None})
    place.look()
    assert place.told() == [["quiet", "act"], ["act", "quiet"]]


def test_what_a_slow_process_saw_is_not_told_over_what_is(place):
    seen = place.chain
    place.become("watch")
    place.look()
    place.another().note({"crop": seen, "head": None})
    place.another().send_due()
    assert place.told() == [["quiet", "watch"]]


def test_many_at_once_tell_it_once(place):
    place.become("act")
    ready = threading.Barrier(8)

    def one():
        each = place.another()
        ready.wait()
        each.note({"crop": place.chain, "head": None})
        each.send_due()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    place.another().send_due()
    assert place.told() == [["quiet", "act"]]


def test_of_two_that_have_read_the_same_message_one_may_send_it(place):
    place.become("act")
    place.another().note({"crop": place.chain, "head": None})
    (row,) = place.rows()
    assert place.another()._claim(row.id, row.tries)
    assert not place.another()._claim(row.id, row.tries)
    place.look()  # nor does a third one begin while the first is at it
    assert place.told() == []


def test_while_the_other_side_is_down_it_waits_longer_and_longer_and_then_arrives(place, hours):
    place.box.is_down = True
    place.become("act")
    place.look()
    place.look()
    assert place.rows()[0].tries == 1  # not due yet
    assert place.another().waiting()["box"].count == 1
    for _ in range(4):
        hours(2)
        place.look()
    assert place.rows()[0].tries == 5
    place.box.is_down = False
    hours(2)
    place.look()
    place.look()
    assert place.told() == [["quiet", "act"]]
    assert place.another().waiting()["box"].count == 0


def test_an_alarm_of_long_ago_is_given_up(place, hours):
    place.box.is_down = True
    place.become("act")
    place.look()
    place.box.is_down = False
    hours(24 * GIVEN_UP_AFTER_DAYS + 1)
    place.look()
    assert place.told() == []
    assert place.another().waiting()["box"].count == 0


KILLED = """
import os, sys
from pathlib import Path
from core.drift.notices import Notices
from core.state.database import connect
class Box:
    name = "box"
    def send(self, key, content):
        if sys.argv[2] == "after":
            Path(sys.argv[1], "sent").write_text(key)
        os.kill(os.getpid(), 9)
Notices(connect(Path(sys.argv[1])), (Box(),)).send_due()
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.sqlite
def test_a_process_that_is_killed_leaves_the_message_to_the_next_with_its_key(
    when, place, tmp_path, hours
):
    place.become("act")
    place.another().note({"crop": place.chain, "head": None})
    command = [sys.executable, "-c", KILLED, str(tmp_path), when]
    assert subprocess.run(command, cwd=ROOT).returncode == -9
    place.look()
    assert place.told() == []  # for as long as the other one may be at it
    hours(1)
    place.look()
    ((key, *_),) = place.box.sent
    assert key == place.rows()[0].key
    if when == "after":
        assert key == (tmp_path / "sent").read_text()


def settings(**more):
    return Settings(**more)


def test_a_real_mail_and_a_signed_post_arrive_without_a_case(place):
    place.become("act")
    with serving(SmtpServer()) as smtp, serving(HookServer()) as hook:
        chosen = settings(
            mail_to="a@clinic.example, b@clinic.example", mail_from="hippoview@clinic.example",
            smtp_host="127.0.0.1", smtp_port=smtp.server_address[1], smtp_security="none",
            webhook_url=f"http://127.0.0.1:{hook.server_port}/hook", webhook_secret=SECRET,
        )  # fmt: skip
        both = Notices(place.engine, channels_of(chosen))
        for _ in range(2):
            both.note({"crop": place.chain, "head": None})
            both.send_due()
        (mail,) = smtp.mails
        ((path, headers, body),) = hook.got
    assert "Subject: HippoView: drift of crops is act" in mail
    assert "it was quiet" in mail
    assert path == "/hook"
    headers = {name.lower(): value for name, value in headers.items()}
    key = headers["webhook-id"]
    assert f"<{key}@" in mail
    assert key == headers["idempotency-key"] == json.loads(body)["id"]
    assert json.loads(body)["state"] == "act"
    signed = signature_of(SECRET.encode(), key, headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == signed
    assert signature_of(SECRET.encode(), key, headers["webhook-timestamp"], body + b" ") != signed


def test_the_signature_is_that_of_standard_webhooks():
    """The example of its specification."""
    secret = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    told = signature_of(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_no_answer_but_success_is_taken_and_no_redirect_followed(status):
    with serving(HookServer()) as hook:
        hook.status = status
        webhook = Webhook(f"http://127.0.0.1:{hook.server_port}/hook", SECRET)
        with pytest.raises(NotSentError, match=str(status)):
            webhook.send("k", {"state": "act"})
        assert [path for path, *_ in hook.got] == ["/hook"]


def test_a_side_that_is_not_there_is_an_error_in_words():
    with serving(HookServer()) as hook:
        port = hook.server_port
    content = {"kind": "crop", "state": "act", "before": "quiet", "at": AT, "scans": 1,
               "model_version": 1, "moved": []}  # fmt: skip
    with pytest.raises(NotSentError, match="not reached"):
        Webhook(f"http://127.0.0.1:{port}/hook", SECRET).send("k", content)
    chosen = settings(smtp_host="127.0.0.1", smtp_port=port, mail_to="a@b", mail_from="c@d")
    with pytest.raises(NotSentError, match="mail server"):
        Mail(chosen).send("k", content)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mail_to": "a@b.example"},
        {"mail_to": "nobody", "mail_from": "c@d", "smtp_host": "x"},
        {"webhook_url": "https://x.example/a"},
        {"webhook_url": "https://user:hidden@x.example/a", "webhook_secret": SECRET},
        {"webhook_url": "file:///etc/passwd", "webhook_secret": SECRET},
        {"webhook_secret": "short"},
        {"webhook_secret": "whsec_" + "!" * 32},
        {"smtp_user": "me", "smtp_security": "none"},
    ],
)
def test_settings_that_are_no_whole_are_refused_without_the_secret(wrong):
    with pytest.raises(SettingsError) as caught:
        Settings(**wrong)
    assert "hidden" not in caught.value.message
    assert "short" not in caught.value.message
