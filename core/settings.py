"""The settings: environment variables HIPPOVIEW_<NAME>, read once, checked at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from core import limits
from core.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "HIPPOVIEW_"
DEVICES = ("auto", "cpu", "cuda")
BACKENDS = ("auto", "openvino", "torch-cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")
MIRRORINGS = ("off", "auto", "full")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
WANDB_MODES = ("off", "offline", "online")
_WORDS = {
    "device": DEVICES,
    "backend": BACKENDS,
    "precision": PRECISIONS,
    "mirroring": MIRRORINGS,
    "log_level": LOG_LEVELS,
    "wandb": WANDB_MODES,
}
GS_PREFIX = "gs://"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
_PACS = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[\w./-]*)?", re.ASCII)
# A gate that lets a version lose more than this is none.
_LARGEST_MARGIN = 0.1
# The prefix uses the same plain characters as the keys below it.
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]+(/[A-Za-z0-9][A-Za-z0-9._-]*)*/?")


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
    max_upload_mib: int = limits.MAX_UPLOAD_MIB
    queue_size: int = limits.DEFAULT_QUEUE_SIZE
    log_level: str = "INFO"
    storage: str = ""
    admin_password: str = field(default="", repr=False)
    pacs_url: str = ""
    pacs_user: str = ""
    pacs_password: str = field(default="", repr=False)
    pacs_ca: str = ""
    wandb: str = "off"
    gate_dice_margin: float = limits.GATE_DICE
    test_heads: int = limits.TEST_HEADS

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
        if self.storage and not _BUCKET.fullmatch(self.storage):
            raise _refused("storage", self.storage, "gs://bucket or gs://bucket/prefix")
        if self.pacs_url and not _PACS.fullmatch(self.pacs_url):
            # Not with its value: it may hold a password.
            raise _refused("pacs_url", "...", "https://host/path, without user and password")
        if self.pacs_ca and not Path(self.pacs_ca).is_file():
            raise _refused("pacs_ca", self.pacs_ca, "a file of certificates (PEM)")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.address in LOOPBACK

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


def variable_of(field: str) -> str:
    """Name of the environment variable of a field."""
    return PREFIX + field.upper()


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables with the prefix that no setting reads: most likely typing errors."""
    known = {variable_of(f.name) for f in fields(Settings)}
    return sorted(k for k in environ if k.startswith(PREFIX) and k not in known)


def _refused(name: str, got: object, expected: str) -> SettingsError:
    return SettingsError(
        f"{variable_of(name)} is {got!r}, expected {expected}",
        "Correct or unset the environment variable and start again.",
    )
