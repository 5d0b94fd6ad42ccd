"""What a button promised arrives, whatever scripts end meanwhile; later it is forgotten."""

import pytest
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from app.downloads import keep_downloads


class House:
    """Streamlit's own manager of files, and a clock."""

    def __init__(self):
        self.storage = MemoryMediaFileStorage("/media")
        self.manager = MediaFileManager(self.storage)
        self.clock_s = 0.0
        keep_downloads(self.manager, lambda: self.clock_s, kept_s=60.0)

    def draw(self, content=b"mask"):
        """A page with one button, as a script's run begins and ends."""
        self.manager.clear_session_refs()
        drawn = self.manager.add_deferred(lambda: content, "application/gzip", "1.0", "mask.gz")
        self.manager.remove_orphaned_files()
        return drawn

    def others_end(self, times=5):
        for _ in range(times):
            self.manager.remove_orphaned_files()

    def fetched(self, url):
        return self.storage.get_file(url.rsplit("/", 1)[-1]).content


@pytest.fixture
def house():
    return House()


def test_a_click_on_a_button_that_is_being_drawn_again_finds_its_file(house):
    clicked = house.draw(b"report")
    house.draw(b"report")
    house.others_end()
    assert house.fetched(house.manager.execute_deferred(clicked)) == b"report"


def test_a_file_that_was_made_is_there_when_the_browser_comes_for_it(house):
    made = house.manager.execute_deferred(house.draw())
    house.others_end()
    house.draw(b"another")
    house.others_end()
    assert house.fetched(made) == b"mask"


def test_after_a_while_without_a_page_both_are_forgotten(house):
    clicked = house.draw()
    made = house.manager.execute_deferred(clicked)
    house.draw(b"another")
    house.clock_s = 61
    house.others_end(3)
    with pytest.raises(MediaFileStorageError):
        house.manager.execute_deferred(clicked)
    with pytest.raises(MediaFileStorageError):
        house.fetched(made)


def test_a_button_that_stands_on_a_page_keeps_its_file_for_as_long(house):
    drawn = house.draw()
    house.clock_s = 4000
    house.others_end()
    assert house.fetched(house.manager.execute_deferred(drawn)) == b"mask"
