import hashlib
import http.server
import threading

import pytest

from core.errors import InputError
from core.training.data.download import download

CONTENT = bytes(range(256)) * 4096
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Cuts its first answer off in the middle; then answers ranges."""

    asked: list[str | None]

    def do_GET(self):
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT) // 2 if len(self.asked) == 1 else len(CONTENT)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def address():
    Handler.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/set.tar"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_goes_on_where_it_was_cut_off(address, tmp_path):
    with pytest.raises(InputError, match="cannot be downloaded"):
        download(address, tmp_path, SHA256)
    assert not list(tmp_path.glob("*.tar"))
    told = []
    file = download(address, tmp_path, SHA256, lambda done, total: told.append((done, total)))
    assert file.read_bytes() == CONTENT
    assert Handler.asked == [None, f"bytes={len(CONTENT) // 2}-"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert download(address, tmp_path, SHA256) == file  # found there, not fetched again
    assert len(Handler.asked) == 2


def test_another_file_than_the_expected_is_thrown_away(address, tmp_path):
    Handler.asked = ["a first one"]
    with pytest.raises(InputError, match="not the one that was expected"):
        download(address, tmp_path, "sha256:" + "0" * 64)
    assert not list(tmp_path.iterdir())


def test_an_archive_of_which_nothing_is_known_is_not_fetched(address, tmp_path):
    with pytest.raises(InputError, match="Nothing is known"):
        download(address, tmp_path)
    assert not Handler.asked
