"""Where a case's way back to its DICOM study is kept: encrypted, apart from the case.

Names and ids of patients lie here and nowhere else. The key is the installation's; without it the
files are of no use, and nobody can tell whose a pseudonym is.
"""

import functools
import hmac
import re
import secrets
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.cases.case import LETTERS
from core.cases.records import origin_key
from core.errors import NotFoundError, StorageError
from core.settings import Settings
from core.state.encryption import Keyring, cipher, derived
from core.state.keys import key_in_file
from core.state.storage import Storage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from core.image.dicom.origin import Origin

KEY_FILE = "origins.key"
# What stands in the place of a patient's id or name where it was removed. The x's are taken all at
# once: each way to part forty of them would else be tried.
_NOBODY = re.compile(
    r"(anon(ym(ous|i[sz]ed|e)?)?|unknown|no[ _^]?name|none|removed|patient|subject|x++|[0-]*+)"
    r"([\^ _]*+(anon(ym(ous|i[sz]ed|e)?)?|unknown|name|patient|x++))*\^*",
    re.IGNORECASE,
)
# Ids that are made up again and again: *1*, *ANON01*, *Subject 3*, *12345*.
_MADE_UP = re.compile(
    r"(anon(ym(ous|i[sz]ed|e)?)?|unknown|patient|subject|pat|subj?|case|test|demo|phantom|id"
    r"|[a-z]{0,2})[\W_]*(0*\d{0,4}|0?1234567?8?9?0?)",
    re.IGNORECASE,
)
_MAGIC, _NONCE_BYTES = b"HVO1", 12
_PSEUDONYM_LETTERS = 12


class Origins:
    """The origins of an installation's cases.

    Parameters
    ----------
    storage
    key
        Gives the installation's secret; called when it is first needed.
    """

    def __init__(self, storage: Storage, key: Callable[[], bytes]) -> None:
        self._storage = storage
        self._key = functools.cache(key)

    def save(self, case_id: str, origin: "Origin") -> None:
        """Keep the origin of a case.

        Raises
        ------
        StorageError
        """
        for key, content in self.sealed(case_id, origin).items():
            self._storage.write(key, content)

    def load(self, case_id: str) -> "Origin | None":
        """The origin of a case; None if it has none.

        Raises
        ------
        StorageError
            It cannot be read with this installation's key.
        """
        from cryptography.exceptions import InvalidTag

        from core.image.dicom.origin import Origin  # imports pydicom

        try:
            content = self._storage.read(origin_key(case_id))
        except NotFoundError:
            return None
        start = len(_MAGIC)
        nonce, sealed = content[start : start + _NONCE_BYTES], content[start + _NONCE_BYTES :]
        try:
            if not content.startswith(_MAGIC):
                raise ValueError("other bytes")
            return Origin.from_bytes(self._cipher().decrypt(nonce, sealed, case_id.encode()))
        except (InvalidTag, ValueError) as error:
            raise StorageError(
                f"The patient and the study of {case_id} cannot be read with this server's key",
                "Set HIPPOVIEW_ORIGINS_KEY to the key of before, or put its key file "
                f"({KEY_FILE}) back from a backup. Or segment the series again.",
                code="origins_key",
            ) from error

    def delete(self, case_id: str) -> None:
        """Remove the origin of a case, if it has one."""
        self._storage.delete(origin_key(case_id))

    def sealed(self, case_id: str, origin: "Origin") -> dict[str, bytes]:
        """The file of an origin by its key in the storage; it is of no use to another case."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher().encrypt(nonce, origin.to_bytes(), case_id.encode())
        return {origin_key(case_id): _MAGIC + nonce + sealed}

    def pseudonym(self, origin: "Origin") -> str:
        """The patient by a keyed hash, such as ``P-7F3K2M9QX4TB``; empty if it is not known who.

        Scans that agree in patient id, its issuer, the date of birth and the name (family and
        given, in any spelling of case and accents) are of one patient. An id that many exports
        make up, such as *1*, *00001* or *ANON01*, says who only together with a date of birth, as
        a name without an id does; *ANONYMOUS*, *0* and the like never do: the scans of several
        people would be of one patient.
        """
        who, name = origin.patient_id.strip(), origin.patient_name.strip()
        if _is_nobody(who) and (_is_nobody(name) or not any(_folded(name))):
            return ""
        if (_is_nobody(who) or _MADE_UP.fullmatch(who)) and not _tells(origin.birth_date):
            return ""
        return self._hashed(origin.issuer, who, *_folded(name), origin.birth_date)

    def earlier_pseudonym(self, origin: "Origin") -> str:
        """As `pseudonym` of earlier versions, which left the date of birth out."""
        return self._hashed(origin.issuer, origin.patient_id, *_folded(origin.patient_name))

    def _hashed(self, *words: str) -> str:
        key = derived(self._key(), "patients")
        digest = hmac.digest(key, "\x1f".join(words).encode(), "sha256")
        number = int.from_bytes(digest, "big")
        return "P-" + "".join(LETTERS[number >> 5 * n & 31] for n in range(_PSEUDONYM_LETTERS))

    def _cipher(self) -> "AESGCM":
        return cipher(derived(self._key(), "origins"))


def installation_key(settings: Settings) -> bytes:
    """The secret of this installation: of the settings, or of a file in the data folder.

    The file is made if it is missing, readable by the server's user alone.

    Raises
    ------
    StorageError
        The file cannot be made or read.
    """
    if settings.origins_key:
        return settings.origins_key.encode()
    return key_in_file(
        settings.data_dir / KEY_FILE, "no patient's study can be found again", Keyring.of(settings)
    )


def _is_nobody(text: str) -> bool:
    return _NOBODY.fullmatch(text) is not None


def _tells(birth_date: str) -> bool:
    """Whether it is a whole date: programs that keep the year alone write the first of January."""
    return bool(birth_date) and not birth_date.endswith("-01-01")


def _folded(name: str) -> tuple[str, str]:
    """Family and given name without case, accents and punctuation."""
    parts = [*name.split("=")[0].split("^"), "", ""][:2]
    plain = (unicodedata.normalize("NFKD", part).casefold() for part in parts)
    family, given = (re.sub(r"[^\w]|_", "", part) for part in plain)
    return family, given
