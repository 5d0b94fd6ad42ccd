"""The settings: environment variables HIPPOVIEW_<NAME>, read once, checked at once."""

import base64
import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from core import limits, web_limits
from core.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "HIPPOVIEW_"
DEVICES = ("auto", "cpu", "cuda")
MIRRORINGS = ("off", "auto", "full")
_WORDS = {
    "device": DEVICES,
    "backend": ("auto", "openvino", "torch-cpu", "cuda"),
    "precision": ("auto", "float32", "bfloat16", "int8"),
    "mirroring": MIRRORINGS,
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    "log": ("text", "json"),
    "wandb": ("off", "offline", "online"),
    "pacs_return": ("off", "usable", "all"),
    "seg_frames": ("filled", "all"),
    "keep_api": ("nothing", "features", "cases"),
    "drift_report": ("off", "weekly", "monthly"),
    "smtp_security": ("starttls", "tls", "none"),
    "engine": ("local", "workers", "ray"),
}
GS_PREFIX = "gs://"
RECEIVED = "received"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
_PACS = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[\w./-]*)?", re.ASCII)
_WEBHOOK = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[^\s@]*)?", re.ASCII)
_ADDRESS = re.compile(r"[^\s@<>,]+@[A-Za-z0-9.-]+", re.ASCII)
# A name without a port; a star for all names below another one.
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_TITLE = re.compile(r"[A-Za-z0-9_.-]{1,16}", re.ASCII)
# What somebody can often type for oneself at the provider: no right may hang on it.
_CLAIMS_OF_ONE = ("email", "name", "nickname", "preferred_username", "upn", "given_name")
# Three heartbeats: one may be late.
_SHORTEST_LEASE_S = 15
# Such as 32 hexadecimal figures.
_SHORTEST_KEY = 32
# A gate that lets a version lose more than this is none.
_LARGEST_MARGIN = 0.1
# The prefix uses the same plain characters as the keys below it.
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]+(/[A-Za-z0-9][A-Za-z0-9._-]*)*/?")

# The host may be left out, where the parameter ``host`` names the folder of a socket.
_DATABASE = re.compile(r"postgresql\+psycopg://[^\s/]*/[^\s/?]+(\?\S*)?", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """All settings with their defaults; each field is one ``HIPPOVIEW_<FIELD>``."""

    data_dir: Path = ROOT / "var"
    model_dir: Path = ROOT / "models" / "hippocampus-3d-16"
    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    mirroring: str = "auto"
    address: str = "127.0.0.1"
    port: int = 8501
    hosts: str = ""
    trusted_proxies: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    requests_per_minute: int = web_limits.REQUESTS_PER_MINUTE
    max_upload_mib: int = limits.MAX_UPLOAD_MIB
    queue_size: int = limits.DEFAULT_QUEUE_SIZE
    log_level: str = "INFO"
    log: str = "text"
    storage: str = ""
    database_url: str = field(default="", repr=False)
    admin_password: str = field(default="", repr=False)
    origins_key: str = field(default="", repr=False)
    encryption_key: str = field(default="", repr=False)
    encryption_key_file: str = ""
    retention_days: int = 0
    oidc_issuer: str = ""
    oidc_name: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_groups_claim: str = "groups"
    oidc_groups: str = ""
    oidc_ca: str = ""
    audit_key: str = field(default="", repr=False)
    audit_checkpoint: str = ""
    seg_frames: str = "filled"
    pacs_url: str = ""
    pacs_user: str = ""
    pacs_password: str = field(default="", repr=False)
    pacs_ca: str = ""
    pacs_return: str = "off"
    receiver_title: str = "HIPPOVIEW"
    receiver_peers: str = ""
    receiver_quiet_s: int = 30
    receiver_description: str = ""
    receiver_certificate: str = ""
    receiver_key: str = ""
    receiver_ca: str = ""
    wandb: str = "off"
    engine: str = "local"
    lease_s: int = limits.LEASE_S
    ray_address: str = "http://127.0.0.1:8265"
    ray_token: str = field(default="", repr=False)
    ray_command: str = ""
    ray_cpus: int = 2
    ray_gpus: int = 0
    gate_dice_margin: float = limits.GATE_DICE
    test_heads: int = limits.TEST_HEADS
    drift_run_length: int = limits.DRIFT_RUN_LENGTH
    keep_api: str = "nothing"
    drift_report: str = "off"
    mail_to: str = ""
    mail_from: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: str = "starttls"
    smtp_user: str = ""
    smtp_password: str = field(default="", repr=False)
    webhook_url: str = ""
    webhook_secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise _refused(name, getattr(self, name), f"one of {', '.join(words)}")
        if not 0 < self.port < 65536:
            raise _refused("port", self.port, "a number from 1 to 65535")
        if not 0 < self.max_upload_mib <= 2048:
            raise _refused("max_upload_mib", self.max_upload_mib, "a number from 1 to 2048")
        if not 0 < self.queue_size <= 1000:
            raise _refused("queue_size", self.queue_size, "a number from 1 to 1000")
        if not 0 <= self.gate_dice_margin <= _LARGEST_MARGIN:
            raise _refused(
                "gate_dice_margin", self.gate_dice_margin, f"a number from 0 to {_LARGEST_MARGIN}"
            )
        if not 0 <= self.test_heads <= limits.MOST_TEST_HEADS:
            raise _refused(
                "test_heads", self.test_heads, f"a number from 0 to {limits.MOST_TEST_HEADS}"
            )
        least, most = limits.LEAST_RUN_LENGTH, limits.MOST_RUN_LENGTH
        if not least <= self.drift_run_length <= most:
            raise _refused(
                "drift_run_length", self.drift_run_length, f"a number from {least} to {most}"
            )
        if self.storage and not _BUCKET.fullmatch(self.storage):
            raise _refused("storage", self.storage, "gs://bucket or gs://bucket/prefix")
        if self.database_url and not _DATABASE.fullmatch(self.database_url):
            # Not with its value: it holds a password.
            raise _refused("database_url", "...", "postgresql+psycopg://user:password@host/name")
        self._check_messages()
        self._check_engine()
        for name in ("origins_key", "audit_key", "webhook_secret"):
            if getattr(self, name) and len(getattr(self, name)) < _SHORTEST_KEY:
                # Not with its value: it is a secret.
                raise _refused(name, "...", f"{_SHORTEST_KEY} characters or more")
        if self.encryption_key and self.encryption_key_file:
            both = " and ".join(map(variable_of, ("encryption_key", "encryption_key_file")))
            raise SettingsError(f"{both} are both set", "Set one of them.")
        if self.encryption_key:
            shortest = min(map(len, listed(self.encryption_key)), default=0)
            if shortest < _SHORTEST_KEY:  # never off because there is nothing but a comma
                raise _refused("encryption_key", "...", f"{_SHORTEST_KEY} characters or more each")
        self.encryption_keys()
        if self.audit_checkpoint and not Path(self.audit_checkpoint).parent.is_dir():
            raise _refused(
                "audit_checkpoint", self.audit_checkpoint, "a file in a folder that is there"
            )
        if self.pacs_url and not _PACS.fullmatch(self.pacs_url):
            # Not with its value: it may hold a password.
            raise _refused("pacs_url", "...", "https://host/path, without user and password")
        for name in (
            "pacs_ca", "receiver_certificate", "receiver_key", "receiver_ca", "tls_certificate",
            "tls_key", "oidc_ca",
        ):  # fmt: skip
            if getattr(self, name) and not Path(getattr(self, name)).is_file():
                raise _refused(name, getattr(self, name), "a file of certificates (PEM)")
        if bool(self.tls_certificate) != bool(self.tls_key):
            both = f"{variable_of('tls_certificate')} and {variable_of('tls_key')}"
            raise SettingsError(f"Only one of {both} is set", "Set both, or none.")
        self._check_provider()
        for host in listed(self.hosts):
            if not _HOST.fullmatch(host):
                raise _refused("hosts", host, "names without port, such as hippoview.example.org")
        for proxy in listed(self.trusted_proxies):
            if not _is_network(proxy):
                raise _refused(
                    "trusted_proxies", proxy, "addresses or networks: 10.0.0.5,10.1.0.0/16"
                )
        if not 0 <= self.requests_per_minute <= 1_000_000:
            raise _refused(
                "requests_per_minute", self.requests_per_minute, "a number from 0 to 1000000"
            )
        if self.pacs_return != "off" and not self.pacs_url:
            raise _refused("pacs_return", self.pacs_return, "off, as long as no PACS_URL is set")
        if not _TITLE.fullmatch(self.receiver_title):
            raise _refused("receiver_title", self.receiver_title, "an AE title of 1 to 16 letters")
        if not 1 <= self.receiver_quiet_s <= 3600:
            raise _refused("receiver_quiet_s", self.receiver_quiet_s, "a number from 1 to 3600")

    def _check_engine(self) -> None:
        """Who trains, and how long it may be silent."""
        if not _SHORTEST_LEASE_S <= self.lease_s <= 3600:
            raise _refused("lease_s", self.lease_s, f"a number from {_SHORTEST_LEASE_S} to 3600")
        if not _WEBHOOK.fullmatch(self.ray_address):
            # Not with its value: it may hold a password.
            raise _refused("ray_address", "...", "http://host:8265, without user and password")
        for name in ("ray_cpus", "ray_gpus"):
            if not 0 <= getattr(self, name) <= 1024:
                raise _refused(name, getattr(self, name), "a number from 0 to 1024")

    def _check_messages(self) -> None:
        """Mail and webhook: each is whole, or not set."""
        if not 0 < self.smtp_port < 65536:
            raise _refused("smtp_port", self.smtp_port, "a number from 1 to 65535")
        for name in ("mail_to", "mail_from"):
            for address in listed(getattr(self, name)):
                if not _ADDRESS.fullmatch(address):
                    raise _refused(name, address, "addresses such as oncall@clinic.example")
        if self.mail_to and not (self.mail_from and self.smtp_host):
            both = f"{variable_of('mail_from')} and {variable_of('smtp_host')}"
            raise SettingsError(
                f"{variable_of('mail_to')} is set without {both}", "Set all three, or none."
            )
        if self.smtp_user and self.smtp_security == "none":
            raise _refused("smtp_security", "none", "starttls or tls: a password is sent")
        if self.webhook_url and not _WEBHOOK.fullmatch(self.webhook_url):
            # Not with its value: it may hold a key.
            raise _refused("webhook_url", "...", "https://host/path, without user and password")
        if self.webhook_url and not self.webhook_secret:
            raise SettingsError(
                f"{variable_of('webhook_url')} is set without {variable_of('webhook_secret')}",
                "Set a secret of 32 characters or more, such as from openssl rand -hex 32.",
            )
        if self.webhook_secret.startswith("whsec_"):
            try:
                base64.b64decode(self.webhook_secret.removeprefix("whsec_"), validate=True)
            except ValueError as error:
                raise _refused("webhook_secret", "...", "base64 after whsec_") from error

    def _check_provider(self) -> None:
        needed = ("oidc_client_id", "oidc_groups")
        if not self.oidc_issuer:
            for name in (*needed, "oidc_client_secret", "oidc_name", "oidc_ca"):
                if getattr(self, name):
                    raise _refused(name, "...", "nothing, as long as no OIDC_ISSUER is set")
            return
        parts = urlsplit(self.oidc_issuer)
        if not is_safe_address(self.oidc_issuer) or parts.query or self.oidc_issuer.count("?"):
            # Not with its value: it may hold a password.
            raise _refused("oidc_issuer", "...", "https://host/path, as the provider calls itself")
        for name in needed:
            if not getattr(self, name):
                raise _refused(name, "", "a value, since OIDC_ISSUER is set")
        if self.oidc_groups_claim in _CLAIMS_OF_ONE:
            raise _refused(
                "oidc_groups_claim", self.oidc_groups_claim,
                "a claim that the provider alone decides on, such as groups, roles or hd",
            )  # fmt: skip

    @property
    def encrypts(self) -> bool:
        """Whether what is stored is encrypted."""
        return bool(self.encryption_key or self.encryption_key_file)

    def encryption_keys(self) -> tuple[str, ...]:
        """The secrets that encrypt at rest, the newest first; none if it is off.

        Raises
        ------
        SettingsError
            Their file cannot be read, or holds something else.
        """
        if not self.encryption_key_file:
            return listed(self.encryption_key)
        try:
            lines = Path(self.encryption_key_file).read_text(encoding="ascii").splitlines()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            expected = f"a file with a key in each line ({why})"
            raise _refused("encryption_key_file", self.encryption_key_file, expected) from error
        keys = tuple(line.strip() for line in lines if line.strip())
        if not keys or min(map(len, keys)) < _SHORTEST_KEY:
            # Never off because the file is empty.
            expected = f"a file with keys of {_SHORTEST_KEY} characters or more, one in each line"
            raise _refused("encryption_key_file", self.encryption_key_file, expected)
        return keys

    @property
    def received_dir(self) -> Path:
        """Where studies lie that were sent to the receiver, until they are cases."""
        return self.data_dir / RECEIVED

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.address in LOOPBACK

    @property
    def for_others(self) -> bool:
        """Whether other machines reach the server: by its address, or through a proxy before it."""
        names = {name.lower().strip("[]") for name in listed(self.hosts)}
        return not self.on_loopback or bool(self.trusted_proxies or names - set(LOOPBACK))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Raises
        ------
        SettingsError
            A value cannot be read.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for setting in fields(cls):
            text = environ.get(variable_of(setting.name))
            if not text:
                continue
            if setting.type is int:
                if not text.isdecimal():
                    raise _refused(setting.name, text, "a whole number")
                values[setting.name] = int(text)
            elif setting.type is float:
                if not _NUMBER.fullmatch(text):
                    raise _refused(setting.name, text, "a number such as 0.005")
                values[setting.name] = float(text)
            elif setting.type is Path:
                values[setting.name] = Path(text).expanduser().resolve()
            else:
                values[setting.name] = text
        return cls(**values)  # type: ignore[arg-type]


def listed(text: str) -> tuple[str, ...]:
    """The parts of a setting that holds several, separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def is_safe_address(where: str) -> bool:
    """Whether nobody on the way can read or change what a URL is asked for.

    >>> is_safe_address("https://id.example.org/x"), is_safe_address("http://id.example.org")
    (True, False)
    """
    try:
        parts = urlsplit(where)
        is_plain = parts.port is None or parts.port > 0  # raises for one that is no number
    except ValueError:
        return False
    is_plain &= where.isascii() and where.isprintable() and not set(' \\"<>') & set(where)
    if not is_plain or not parts.hostname or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def variable_of(field: str) -> str:
    """Name of the environment variable of a field."""
    return PREFIX + field.upper()


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables with the prefix that no setting reads: most likely typing errors."""
    known = {variable_of(f.name) for f in fields(Settings)}
    return sorted(k for k in environ if k.startswith(PREFIX) and k not in known)


def nearest_setting(variable: str) -> str:
    """The variable that was most likely meant by one that no setting reads; else empty.

    >>> nearest_setting("HIPPOVIEW_PROT")
    'HIPPOVIEW_PORT'
    """
    known = [variable_of(setting.name) for setting in fields(Settings)]
    return next(iter(difflib.get_close_matches(variable, known, 1, 0.85)), "")


def _is_network(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return False
    return network.prefixlen > 0  # all addresses are no proxy


def _refused(name: str, got: object, expected: str) -> SettingsError:
    return SettingsError(
        f"{variable_of(name)} is {got!r}, expected {expected}",
        "Correct or unset the environment variable and start again.",
    )
