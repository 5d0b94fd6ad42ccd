"""A storage that fails, stalls, or ends the process, as a test says."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from core.errors import StorageError
from core.state.storage import Storage

WRITES = frozenset({"write", "replace", "delete", "delete_folder"})
# Called with the name of a call, its key, and "before" or "after" it was done.
Hook = Callable[[str, str, str], None]


class FaultyStorage:
    """Calls a hook before and after each call; what the hook raises is the call's failure."""

    def __init__(self, inner: Storage, hook: Hook) -> None:
        self.inner = inner
        self.hook = hook

    @contextmanager
    def _around(self, call: str, key: str) -> Iterator[None]:
        self.hook(call, key, "before")
        yield
        self.hook(call, key, "after")

    def write(self, key: str, data: bytes) -> None:
        with self._around("write", key):
            self.inner.write(key, data)

    def replace(self, key: str, data: bytes, old: bytes | None) -> None:
        with self._around("replace", key):
            self.inner.replace(key, data, old)

    def read(self, key: str) -> bytes:
        with self._around("read", key):
            return self.inner.read(key)

    def read_parts(self, key: str) -> Iterator[bytes]:
        with self._around("read", key):
            yield from self.inner.read_parts(key)  # type: ignore[attr-defined]

    def head(self, key: str, count: int) -> bytes:
        with self._around("read", key):
            return bytes(self.inner.head(key, count))  # type: ignore[attr-defined]

    def delete(self, key: str) -> None:
        with self._around("delete", key):
            self.inner.delete(key)

    def keys(self, prefix: str) -> list[str]:
        with self._around("keys", prefix):
            return self.inner.keys(prefix)

    def ages_s(self, prefix: str) -> dict[str, float]:
        with self._around("ages_s", prefix):
            return self.inner.ages_s(prefix)

    def folders(self, prefix: str) -> list[str]:
        with self._around("folders", prefix):
            return self.inner.folders(prefix)

    def delete_folder(self, prefix: str) -> None:
        with self._around("delete_folder", prefix):
            self.inner.delete_folder(prefix)

    def local(
        self, prefix: str, on_file: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Path]:
        self.hook("local", prefix, "before")
        return self.inner.local(prefix, on_file)


def outage() -> StorageError:
    """What a storage says that does not answer."""
    return StorageError("The storage does not answer", "Try again.", code="storage_unreachable")
