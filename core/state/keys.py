"""Secret keys of an installation: of a setting, or of a file in the data folder.

Where the installation is encrypted (`core.state.encryption`), so is such a file: whoever has the
disk or a backup of it has no key.
"""

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine

from core.errors import StorageError
from core.settings import variable_of
from core.state.choices import choose, chosen
from core.state.database import reading
from core.state.encryption import NO_KEYS, Keyring, derived, is_encrypted
from core.state.failures import in_words
from core.state.storage import sync_folder, write_whole

_KEY_BYTES = 32
# Of a key's hash, which tells whether two are the same; and its place in the database.
_TOLD_LETTERS, _CHOICE = 16, "keys"


def key_in_file(path: Path, what_is_lost: str, keys: Keyring = NO_KEYS) -> bytes:
    """The key in a file, made if it is missing, readable by the server's user alone.

    Parameters
    ----------
    path
    what_is_lost
        What cannot be done without this key, for the error: a sentence's second half.
    keys
        With any, the file is encrypted, also one that was not.

    Raises
    ------
    StorageError
        The file cannot be made or read, or is encrypted with a key that is not set.
    """
    with in_words():
        if not path.exists():
            _make(path)
        stored = path.read_bytes()
    content = keys.clear(stored, path.name).strip()
    if keys and not is_encrypted(stored):
        keep_key(path, content + b"\n", keys)
    if len(content) < _KEY_BYTES:
        raise StorageError(
            f"The key file {path.name} in the data folder is damaged",
            f"Put it back from a backup; without it {what_is_lost}.",
            code=f"{path.stem}_key",
        )
    return content


def keep_key(path: Path, content: bytes, keys: Keyring) -> None:
    """Write the content of a key's file, encrypted if there are keys.

    Raises
    ------
    StorageError
    """
    with in_words():
        stored = keys.encrypt(content, path.name) if keys else content
        write_whole(path, stored, 0o600)


def agree_on_keys(engine: Engine, keys: Mapping[str, bytes], *, only_look: bool = False) -> None:
    """Note which keys the servers of a shared database have, or see that these are the same.

    Parameters
    ----------
    engine
    keys
        Secrets by the setting that gives them.
    only_look
        Note nothing.

    Raises
    ------
    StorageError
        Another server has another one: what one writes down, this one would not find again.
    """
    told = {name: derived(key, "shared key").hex()[:_TOLD_LETTERS] for name, key in keys.items()}
    with reading(engine) as connection:
        known = chosen(connection, _CHOICE)
    if known.keys() < told.keys() and not only_look:
        with engine.begin() as connection:
            known = told | chosen(connection, _CHOICE)
            choose(connection, _CHOICE, known)
    others = [variable_of(name) for name in told if known.get(name, told[name]) != told[name]]
    if others:
        raise StorageError(
            f"Other servers on this database have another {' and '.join(others)}",
            "Set it to the same for all of them; a server that has none in its settings made one "
            "in a file of its data folder. See docs/operations.md, Several servers.",
            code="other_keys",
        )


def _make(path: Path) -> None:
    """Write a new key; of two processes that do so at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(_KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)
