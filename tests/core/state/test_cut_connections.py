"""Files that go up and down while the network cuts connections at random: whole, or not at all."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from core.errors import StorageError
from core.state.bucket import BucketStorage
from tests.buckets import BUCKET, cutting, emulator

MANY = 100
_KIB = 1024
# Each connection breaks: some within the first bytes, the others in the middle of a file.
_EARLY = 0.2


class Cuts:
    """How many bytes a connection carries until it breaks."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        if self._random.random() < _EARLY:
            return self._random.choice([0, 100, 700])
        return self._random.randrange(2048 * _KIB)


def go_up_and_down(address: str, count: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> Cuts:
    rng, cuts = random.Random(seed), Cuts(seed)  # noqa: S311
    contents = {f"cases/{n}/image": rng.randbytes(rng.randrange(512 * _KIB)) for n in range(count)}
    later = {key: rng.randbytes(rng.randrange(64 * _KIB)) for key in [*contents][::5]}

    def move(key: str) -> None:
        """Write, read, and for some: replace; whoever is told of a failure tries again."""
        until_done(lambda: storage.write(key, contents[key]))
        assert until_done(lambda: storage.read(key)) == contents[key]
        if key in later:
            until_done(lambda: storage.replace(key, later[key], contents[key]))
            assert until_done(lambda: storage.read(key)) == later[key]

    with cutting(address, cuts, cuts) as cut:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cut)
        storage = until_done(lambda: BucketStorage.open(f"gs://{BUCKET}/cut-{seed}"))
        with ThreadPoolExecutor(4) as pool:
            assert len([*pool.map(move, contents)]) == count
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    straight = BucketStorage.open(f"gs://{BUCKET}/cut-{seed}")
    assert straight.keys("cases") == sorted(contents)
    for key in contents:
        assert straight.read(key) == {**contents, **later}[key]
    return cuts


def until_done(act, tries=5):
    """Again where the storage says that it does not answer."""
    for _ in range(tries):
        with suppress(StorageError):
            return act()
    return act()


@pytest.mark.long
def test_a_hundred_files_are_whole_though_connections_break(monkeypatch):
    with emulator() as address:
        cuts = go_up_and_down(address, MANY, 1, monkeypatch)
    assert cuts.count > MANY / 2
