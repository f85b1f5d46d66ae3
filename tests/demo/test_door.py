"""Who may come in, and where the page is found."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from magi_rt.demo.app import Door
from magi_rt.demo.serve import page_address
from magi_rt.errors import OptionError
from tests.demo.pages import WAIT_S, Page, demo

TOKEN = "0123456789abcdef"


def test_pages_of_other_sites_are_kept_out(tmp_path: Path) -> None:
    with demo(tmp_path) as server:
        with pytest.raises(InvalidStatus):
            Page(server, Origin="http://evil.example")
        request = urllib.request.Request(server.url, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=WAIT_S)


def test_with_a_token_only_who_knows_it_comes_in(tmp_path: Path) -> None:
    with demo(tmp_path, door=Door(token="0123456789abcdef")) as server:
        with Page(server) as page:
            page.live()
        bare = server.url.partition("?")[0]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(bare, timeout=WAIT_S)
        with connect(bare.replace("http", "ws") + "ws?token=an-older-one") as refused:
            with pytest.raises(ConnectionClosed):
                refused.recv(timeout=WAIT_S)
            assert refused.close_code == 4403, "which tells the page to stop trying"


def test_beyond_this_machine_a_token_is_needed() -> None:
    with pytest.raises(OptionError, match="--token"):
        Door("0.0.0.0")
    with pytest.raises(OptionError, match="16 or more"):
        Door(token="short")


@pytest.mark.parametrize("letter", list("+/=&#%; \"'?"))
def test_every_token_that_is_taken_opens_the_page_at_the_printed_address(
    tmp_path: Path, letter: str
) -> None:
    door = Door(token=f"abcdefgh{letter}50{letter}ijklmnop")
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with demo(tmp_path, door=door) as server, Page(server) as page:
        page.live()
        with visitor.open(server.url, timeout=WAIT_S) as answer:
            assert answer.status == 200
        bare = server.url.partition("?")[0]
        with visitor.open(bare + "replay.json", timeout=WAIT_S) as answer:
            assert answer.status == 200, "the cookie lets it in"


@pytest.mark.parametrize("token", ["ключ-ключ-ключ-ключ", "0123456789abcdef\n"])
def test_a_token_that_browsers_do_not_keep_is_refused(token: str) -> None:
    with pytest.raises(OptionError, match="letters and digits"):
        Door(token=token)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("fd00::5", "[fd00::5]"),
        ("den", "den"),
    ],
)
def test_the_address_leads_to_this_demo_and_to_no_other_program(host: str, place: str) -> None:
    assert page_address(Door(host, TOKEN), 8080) == f"http://{place}:8080/?token={TOKEN}"


def test_two_demos_on_one_machine_keep_their_tokens_apart(tmp_path: Path) -> None:
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with (
        demo(tmp_path, door=Door(token=TOKEN)) as first,
        demo(tmp_path, door=Door(token=TOKEN[::-1])) as second,
        Page(first) as page,
    ):
        page.live()
        for server in (first, second):
            visitor.open(server.url, timeout=WAIT_S).close()
        address = first.url.partition("?")[0] + "replay.json"
        visitor.open(address, timeout=WAIT_S).close()


def test_a_host_that_is_no_host_is_kept_out(tmp_path: Path) -> None:
    with demo(tmp_path) as server:
        for name in ("Host", "Origin"):
            request = urllib.request.Request(server.url, headers={name: "http://[::1"})
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(request, timeout=WAIT_S)


@pytest.mark.parametrize("name", ["none.mp4", "x" * 300 + ".mp4", "none.txt"])
def test_a_recording_that_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    with demo(tmp_path) as server, pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}recordings/{name}", timeout=WAIT_S)
