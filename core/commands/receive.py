"""``receive``: modalities and archives send studies here, which the server segments."""

import argparse
import signal
import ssl
import sys
import threading
from typing import TYPE_CHECKING

from loguru import logger

from core.errors import HippoViewError, SettingsError
from core.settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from core.commands.installation import Commands
    from core.pacs.inbox import Inbox

_LOOK_S = 1.0


def add_commands(commands: "Commands") -> None:
    """``receive``."""
    command = commands.add_parser(
        "receive",
        help="take studies from scanners and archives by C-STORE, for the server to segment",
        description="Listens until it is ended. A study that has come whole waits in the data "
        "folder until the server, a process of its own, has made a case of it.",
    )
    command.add_argument("--port", type=int, required=True, help="where it listens: often 11112")
    command.add_argument(
        "--address", default=LOOPBACK[0],
        help=f"of this machine, on which it listens; by default {LOOPBACK[0]}, which only this "
        "machine reaches",
    )  # fmt: skip
    command.set_defaults(run=_receive)


def _receive(options: argparse.Namespace, settings: Settings) -> int:
    # Imports pynetdicom, which no other command needs.
    from core.pacs.inbox import Inbox, Rule
    from core.pacs.receiver import Receiver, peers_of

    if not settings.receiver_peers:
        raise SettingsError(
            "No peer of the receiver is set",
            "Name who may send in HIPPOVIEW_RECEIVER_PEERS, such as SCANNER1@10.0.0.5.",
        )
    peers, tls = peers_of(settings.receiver_peers), tls_of(settings)
    inbox = Inbox(
        settings.received_dir, Rule(description=settings.receiver_description),
        settings.receiver_quiet_s,
    )  # fmt: skip
    receiver = Receiver(inbox, settings.receiver_title, peers)
    port = receiver.start(options.address, options.port, tls)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sys.stdout.write(f"{settings.receiver_title} receives on {options.address} port {port}\n")
    sys.stdout.flush()
    while not ended.wait(_LOOK_S):
        _settle(inbox)
    receiver.stop()
    inbox.close()
    return 0


def _settle(inbox: "Inbox") -> None:
    try:
        came = inbox.settle()
    except HippoViewError as error:  # it is tried again
        logger.warning("What was received could not be looked after: {}", error.message)
        return
    for _ in came:
        logger.info("A study has come whole")


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """How connections are encrypted; None where no certificate is set.

    Raises
    ------
    SettingsError
        The certificate, its key or the authority of the peers cannot be read.
    """
    if not settings.receiver_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.receiver_certificate, settings.receiver_key or None)
        if settings.receiver_ca:
            context.load_verify_locations(settings.receiver_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise SettingsError(
            "The certificate of the receiver cannot be used",
            "Check HIPPOVIEW_RECEIVER_CERTIFICATE, _KEY and _CA: files of the PEM format, without "
            "a password.",
        ) from error
    return context
