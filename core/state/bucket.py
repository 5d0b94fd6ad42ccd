"""Files in a Google Cloud Storage bucket: ``gs://bucket/prefix``.

Transfers are checked by crc32c, and an object appears completely or not at all. A write names the
generation that it replaces, so that of two simultaneous writers one is refused.
"""

import posixpath
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.api_core import exceptions as gcs_errors
from google.auth import exceptions as auth_errors
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import exceptions as request_errors

from core.errors import StorageError
from core.settings import GS_PREFIX
from core.state.failures import changed_file, checked_key, disk_error, missing_file
from core.state.parts import PART_BYTES, Content, Seen, whole

# Seconds that one operation may take, its repetitions included.
_PATIENCE_S = 30.0
# Metadata field of an object: which call wrote it.
_WRITER = "writer"


class BucketStorage:
    """Files below a prefix of a bucket; see `core.state.storage.Storage`."""

    def __init__(self, bucket: storage.Bucket, prefix: str, patience_s: float) -> None:
        self._bucket = bucket
        self._prefix = prefix
        # Every write carries a precondition, so that a repeated one changes nothing.
        self._options = {"timeout": patience_s, "retry": DEFAULT_RETRY.with_timeout(patience_s)}

    @classmethod
    def open(cls, url: str, patience_s: float = _PATIENCE_S) -> "BucketStorage":
        """Open ``gs://bucket/prefix`` and check that it answers.

        Credentials are Google's application default credentials; with
        ``STORAGE_EMULATOR_HOST`` set, none are needed.

        Raises
        ------
        StorageError
        """
        name, _, prefix = url.removeprefix(GS_PREFIX).partition("/")
        with _in_words():
            opened = cls(storage.Client().bucket(name), prefix.strip("/"), patience_s)
            next(iter(opened._blobs("cases", max_results=1)), None)
        return opened

    def write(self, key: str, data: Content) -> None:
        """See `core.state.storage.Storage.write`."""
        data = whole(data)
        with _in_words():
            blob = self._bucket.blob(self._name(key))
            existing = self._bucket.get_blob(blob.name, **self._options)
            blob.upload_from_string(
                data,
                "application/octet-stream",
                checksum="crc32c",
                if_generation_match=existing.generation if existing else 0,
                **self._options,
            )

    def replace(self, key: str, data: Content, old: bytes | Seen | None) -> None:
        """See `core.state.storage.PartedStorage.replace`."""
        writer, data = secrets.token_hex(8), whole(data)
        with _in_words():
            blob = self._bucket.blob(self._name(key))
            blob.metadata = {_WRITER: writer}
            generation = 0
            if old is not None:
                existing = self._bucket.get_blob(blob.name, **self._options)
                seen = old if isinstance(old, Seen) else Seen.of([old])
                if existing is None or existing.md5_hash != seen.md5:
                    raise changed_file()
                generation = existing.generation
            try:
                blob.upload_from_string(
                    data,
                    "application/octet-stream",
                    checksum="crc32c",
                    if_generation_match=generation,
                    **self._options,
                )
            except gcs_errors.PreconditionFailed as error:
                # The answer to an upload may be lost: its repetition then meets itself.
                winner = self._bucket.get_blob(blob.name, **self._options)
                if winner is None or (winner.metadata or {}).get(_WRITER) != writer:
                    raise changed_file() from error

    def read(self, key: str) -> bytes:
        """See `core.state.storage.Storage.read`."""
        with _in_words():
            try:
                blob = self._bucket.blob(self._name(key))
                return bytes(blob.download_as_bytes(checksum="crc32c", **self._options))
            except gcs_errors.NotFound as error:
                raise missing_file() from error

    def read_parts(self, key: str) -> Iterator[bytes]:
        """See `core.state.storage.PartedStorage.read_parts`; fetched in one piece."""
        content = memoryview(self.read(key))
        for start in range(0, len(content), PART_BYTES):
            yield bytes(content[start : start + PART_BYTES])

    def head(self, key: str, count: int) -> bytes:
        """See `core.state.storage.PartedStorage.head`."""
        with _in_words():
            blob = self._bucket.blob(self._name(key))
            try:
                return bytes(blob.download_as_bytes(end=count - 1, checksum=None, **self._options))
            except (gcs_errors.NotFound, gcs_errors.RequestRangeNotSatisfiable):
                return b""

    def keys(self, prefix: str) -> list[str]:
        """See `core.state.storage.Storage.keys`."""
        with _in_words():
            return sorted(self._key(blob.name) for blob in self._blobs(prefix))

    def folders(self, prefix: str) -> list[str]:
        """See `core.state.storage.Storage.folders`."""
        with _in_words():
            listing = self._blobs(prefix, delimiter="/")
            for _ in listing:  # the prefixes are known once the pages were read
                pass
            return sorted(posixpath.basename(name.rstrip("/")) for name in listing.prefixes)

    def ages_s(self, prefix: str) -> dict[str, float]:
        """See `core.state.storage.Storage.ages_s`."""
        with _in_words():
            now = datetime.now(UTC)
            return {
                self._key(blob.name): max(0.0, (now - blob.updated).total_seconds())
                for blob in self._blobs(prefix)
            }

    def written_at_s(self, key: str) -> float:
        """See `core.state.storage.PartedStorage.written_at_s`."""
        with _in_words():
            blob = self._bucket.get_blob(self._name(key), **self._options)
            if blob is None:
                raise missing_file()
            return float(blob.updated.timestamp())

    def delete(self, key: str) -> None:
        """See `core.state.storage.Storage.delete`."""
        with _in_words():
            try:
                self._bucket.blob(self._name(key)).delete(**self._options)
            except gcs_errors.NotFound:
                return

    def delete_folder(self, prefix: str) -> None:
        """See `core.state.storage.Storage.delete_folder`."""
        with _in_words():
            for blob in list(self._blobs(prefix)):
                try:
                    blob.delete(**self._options)
                except gcs_errors.NotFound:  # someone else was faster
                    continue

    @contextmanager
    def local(self, prefix: str, on_file: Callable[[], None] = lambda: None) -> Iterator[Path]:
        """See `core.state.storage.Storage.local`; fetched for the length of the block."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="hippoview-")
        except OSError as error:
            raise disk_error(error) from error
        with folder as name:
            root = Path(name)
            for key in self.keys(prefix):
                content = self.read(key)
                path = root / posixpath.relpath(key, prefix)
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                except OSError as error:
                    raise disk_error(error) from error
                on_file()
            yield root

    def _blobs(self, prefix: str, **options: object) -> Any:  # Google's iterator has no types
        return self._bucket.list_blobs(prefix=self._name(prefix) + "/", **options, **self._options)

    def _name(self, key: str) -> str:
        return posixpath.join(self._prefix, checked_key(key))

    def _key(self, name: str) -> str:
        return name.removeprefix(self._prefix).lstrip("/")


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn Google's many exceptions into a `StorageError` that says what to do."""
    try:
        yield
    except (
        auth_errors.GoogleAuthError,
        gcs_errors.Unauthorized,
        gcs_errors.Forbidden,
    ) as error:
        raise StorageError(
            "Google Cloud Storage refuses the credentials of this server",
            "On Cloud Run give its service account the role Storage Object User on the bucket; "
            "elsewhere point GOOGLE_APPLICATION_CREDENTIALS to a key file, or run: gcloud auth "
            "application-default login.",
            code="storage_credentials",
        ) from error
    except gcs_errors.NotFound as error:
        raise StorageError(
            "The bucket of HIPPOVIEW_STORAGE does not exist",
            "Create it, or correct the setting.",
            code="storage_no_bucket",
        ) from error
    except gcs_errors.PreconditionFailed as error:
        raise StorageError(
            "Someone else wrote the same file at the same time",
            "Look at what is there now and try again.",
            code="storage_conflict",
        ) from error
    except DataCorruption as error:
        raise StorageError(
            "What arrived from the storage is not what was sent (crc32c differs)",
            "Try again; if it fails again, restore the file from a backup.",
            code="storage_corrupt",
        ) from error
    except (
        gcs_errors.GoogleAPIError,
        request_errors.RequestException,
        OSError,
    ) as error:
        raise StorageError(
            "Google Cloud Storage does not answer",
            "Check the network of this server and try again.",
            code="storage_unreachable",
        ) from error
