"""What is encrypted comes back whole and under its own name, or is refused in words."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StorageError
from core.state.encryption import (
    CHUNK_BYTES,
    HEAD_BYTES,
    DamagedError,
    Keyring,
    is_encrypted,
)

OLD, NEW = "old-key-" * 4, "new-key-" * 4
KEYS = Keyring([OLD])
# Around the ends of chunks.
SIZES = st.one_of(
    st.integers(0, 300),
    st.sampled_from([CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2500000]),
)


def content_of(size):
    return bytes(range(256)) * (size // 256) + bytes(size % 256)


def cut(content, sizes):
    """A content in parts."""
    place = 0
    for size in sizes:
        yield content[place : place + size]
        place += size
    yield content[place:]


@settings(max_examples=40)
@given(size=SIZES, parts=st.lists(st.integers(0, 1_500_000), max_size=4))
def test_what_is_encrypted_comes_back_in_whatever_parts_it_comes(size, parts):
    content = content_of(size)
    stored = b"".join(KEYS.encrypted(cut(content, parts), "a/b"))
    assert is_encrypted(stored)
    assert stored[HEAD_BYTES : HEAD_BYTES + size] != content[: len(stored)] or not size
    assert KEYS.decrypt(cut(stored, parts), "a/b") == KEYS.decrypt(stored, "a/b") == content


@settings(max_examples=60)
@given(data=st.data(), size=SIZES)
def test_what_was_changed_cut_extended_or_swapped_is_refused(data, size):
    stored = bytearray(KEYS.encrypt(content_of(size), "a/b"))
    kind = data.draw(st.sampled_from(["bit", "cut", "longer", "name", "chunks", "twice"]))
    name = "a/b"
    if kind == "bit":
        place = data.draw(st.integers(0, len(stored) - 1))
        stored[place] ^= 1 << data.draw(st.integers(0, 7))
        if not is_encrypted(stored):
            return  # then it is no encrypted file, and what reads it says so
    elif kind == "cut":  # also at the very end of a chunk
        whole = [HEAD_BYTES + n * (CHUNK_BYTES + 16) for n in range(3)]
        ends = (*whole, len(stored) - 1, len(stored) // 2)
        del stored[data.draw(st.sampled_from([end for end in ends if end < len(stored)])) :]
    elif kind == "longer":
        stored += b"x"
    elif kind == "name":
        name = data.draw(st.sampled_from(["a/c", "a", "", "a/b "]))
    elif kind == "chunks":
        if len(stored) < HEAD_BYTES + 2 * (CHUNK_BYTES + 16):
            return
        first = slice(HEAD_BYTES, HEAD_BYTES + CHUNK_BYTES + 16)
        second = slice(first.stop, first.stop + CHUNK_BYTES + 16)
        stored[first], stored[second] = stored[second], stored[first]
    else:
        stored += stored[HEAD_BYTES:]
    with pytest.raises(StorageError) as refused:
        KEYS.decrypt(bytes(stored), name)
    assert refused.value.code in ("storage_damaged", "encryption_key")
    assert refused.value.hint


def test_a_later_key_still_decrypts_and_a_wrong_one_says_which_it_takes():
    stored = KEYS.encrypt(b"x", "a")
    both = Keyring([NEW, OLD])
    assert both.decrypt(stored, "a") == b"x"
    assert both.is_newest(both.encrypt(b"x", "a"))
    assert not both.is_newest(stored)
    for keys in (Keyring([NEW]), Keyring()):
        with pytest.raises(StorageError, match=KEYS.ids[0]) as refused:
            keys.decrypt(stored, "a")
        assert refused.value.code == "encryption_key"
        assert not isinstance(refused.value, DamagedError)
    assert OLD not in repr(both.keys)


def test_two_files_of_one_content_have_nothing_in_common():
    one, other = (KEYS.encrypt(bytes(64), "a") for _ in range(2))
    head = HEAD_BYTES - 16
    assert one[:head] == other[:head]
    assert one[head:] != other[head:]


def test_a_large_file_takes_little_more_memory_than_its_parts():
    part = bytes(CHUNK_BYTES)
    tracemalloc.start()
    parts = KEYS.decrypted(KEYS.encrypted((part for _ in range(64)), "a"), "a")
    assert sum(map(len, parts)) == 64 * CHUNK_BYTES
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * CHUNK_BYTES
