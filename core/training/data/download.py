"""Downloads a public archive once: resumes where it was cut off, and checks its hash."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import requests

from core.errors import InputError

TASK04_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
# Its publisher gives an MD5, the one that MONAI's DecathlonDataset checks as well.
_KNOWN = {TASK04_URL: "md5:9d24dba78a72977dbd1d2e110310f31b"}
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 64 * 1024  # at most this much is lost at an interruption


def download(
    url: str,
    folder: Path,
    expected: str | None = None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Download an archive, unless it was downloaded before.

    Parameters
    ----------
    expected
        ``sha256:…`` or ``md5:…`` of the whole file; known for `TASK04_URL`.
    on_bytes
        Called with the bytes downloaded and their total, which is 0 if the server does not say.

    Returns
    -------
    Path
        The file in ``folder``.

    Raises
    ------
    InputError
        It cannot be downloaded, or its hash is not the expected one.
    """
    expected = expected or _KNOWN.get(url)
    if expected is None:
        raise InputError(
            "Nothing is known of this archive to check it by",
            "Give its hash: --sha256 SUM",
            code="bad_source",
        )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.tar"
    if not file.is_file():
        part = file.with_suffix(".part")
        try:
            _fetch(url, part, on_bytes)
        except requests.RequestException as error:
            raise InputError(
                f"The archive cannot be downloaded: {type(error).__name__}",
                "Try again: it goes on where it was cut off. Without a network, give a folder or "
                "a .tar.",
                code="bad_source",
            ) from error
        _check(part, expected)
        part.replace(file)
    return file


def _fetch(url: str, part: Path, on_bytes: Callable[[int, int], None]) -> None:
    bytes_there = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={bytes_there}-"} if bytes_there else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if bytes_there and answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # all of it is there
        answer.raise_for_status()
        goes_on = answer.status_code == requests.codes.partial_content
        done = bytes_there if goes_on else 0
        total = done + int(answer.headers.get("Content-Length", -done))
        with part.open("ab" if goes_on else "wb") as target:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                target.write(chunk)
                done += len(chunk)
                on_bytes(done, total)


def _check(part: Path, expected: str) -> None:
    kind, _, value = expected.partition(":")
    with part.open("rb") as content:
        digest = hashlib.file_digest(content, kind).hexdigest()
    if digest != value.lower():
        part.unlink()
        raise InputError(
            f"The archive is not the one that was expected: its {kind} is {digest}",
            "Try again, or ask its publisher.",
            code="bad_source",
        )
