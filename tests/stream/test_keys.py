"""Beyond this machine only clients with an allowed key get in."""

from __future__ import annotations

import gc
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner

from magi_rt.cli.app import app
from magi_rt.errors import OptionError, ServerLostError
from magi_rt.stream import keys as doorkeeping
from magi_rt.stream.addresses import control_address, reachable, stays_here
from magi_rt.stream.client import WorldClient
from magi_rt.stream.keys import ClientKeys, ServerKeys, make_keys, refuse_open_door
from magi_rt.stream.server import WorldServer
from magi_rt.stream.subscriber import FrameSubscriber
from tests.stream.serving_kit import LIMIT_S, served
from tests.world.kit import dummy_world

SILENCE_S = 1.0
"""How long a client that must not get in is given; only a failure could answer sooner."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Keys of a server and of a client called studio."""
    make_keys(tmp_path / "keys", ("studio",))
    return tmp_path / "keys"


@pytest.fixture
def guarded(folder: Path) -> Iterator[WorldServer]:
    """A server that lets only the studio in."""
    with served(keys=ServerKeys.load(folder)) as server:
        yield server


def stranger(folder: Path) -> ClientKeys:
    """Keys that nobody allowed, with the right key of the server."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    return ClientKeys(public, secret, ServerKeys.load(folder).public)


def shut_out(server: WorldServer, keys: ClientKeys | None) -> bool:
    """True when neither requests are answered nor frames come."""
    with FrameSubscriber(server.address, keys=keys, control="", layout="parts") as frames:
        with pytest.raises(ServerLostError):
            WorldClient(server.address, keys=keys, timeout_s=SILENCE_S)
        return frames.latest() is None and not frames.connected


def test_a_client_with_an_allowed_key_steers_and_watches(
    guarded: WorldServer, folder: Path
) -> None:
    keys = ClientKeys.load(folder / "clients" / "studio")
    with WorldClient(guarded.address, keys=keys) as client, client.watching() as frames:
        shown = client.prompt("rain").wait(LIMIT_S)
        received = frames.next(LIMIT_S)
        assert received is not None and received.header.stream == shown.stream


def test_a_plain_client_hears_nothing_of_a_guarded_server(guarded: WorldServer) -> None:
    assert shut_out(guarded, None)


def test_a_wrong_key_hears_nothing_of_a_guarded_server(guarded: WorldServer, folder: Path) -> None:
    assert shut_out(guarded, stranger(folder))


def test_a_client_that_expects_another_server_does_not_talk_to_this_one(
    guarded: WorldServer, folder: Path
) -> None:
    studio = ClientKeys.load(folder / "clients" / "studio")
    other, _ = (key.decode() for key in zmq.curve_keypair())
    assert shut_out(guarded, ClientKeys(studio.public, studio.secret, other))


def test_a_client_with_keys_does_not_talk_to_a_plain_server(folder: Path) -> None:
    with served() as server:
        assert shut_out(server, ClientKeys.load(folder / "clients" / "studio"))


def test_clients_are_let_in_and_shut_out_while_the_server_runs(
    guarded: WorldServer, folder: Path
) -> None:
    make_keys(folder, ("stage",))
    keys = ClientKeys.load(folder / "clients" / "stage")
    with WorldClient(guarded.address, keys=keys, timeout_s=LIMIT_S) as client:
        assert client.facts.model == "dummy"
    (folder / "allowed" / "stage.key").unlink()
    assert shut_out(guarded, keys)


def test_a_damaged_key_file_lets_nobody_in_and_keeps_nobody_out(
    guarded: WorldServer, folder: Path
) -> None:
    (folder / "allowed" / "a.key").write_bytes(b"\xff\xfe no key")
    keys = ClientKeys.load(folder / "clients" / "studio")
    with WorldClient(guarded.address, keys=keys, timeout_s=LIMIT_S) as client:
        assert client.stats()["requests"] > 0


def why_silent(server: WorldServer, keys: ClientKeys | None) -> str:
    """What a client says that gets no answer."""
    with pytest.raises(ServerLostError) as lost:
        WorldClient(server.address, keys=keys, timeout_s=SILENCE_S)
    return lost.value.message


def test_a_client_that_is_shut_out_says_why(
    guarded: WorldServer, folder: Path, tmp_path: Path
) -> None:
    make_keys(tmp_path / "other", ("stranger",))
    other = ClientKeys.load(tmp_path / "other" / "clients" / "stranger")
    known = ClientKeys.load(folder / "clients" / "studio")
    assert "magi-rt keys" in why_silent(guarded, None)
    stranger = ClientKeys(other.public, other.secret, known.server)
    assert "does not know this client's key" in why_silent(guarded, stranger)
    assert "another one" in why_silent(guarded, other)
    with served() as plain:
        assert "one without keys" in why_silent(plain, known)


def test_two_guarded_servers_in_one_process_keep_their_own_guests(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_keys(tmp_path / name)
    first, second = (ServerKeys.load(tmp_path / name) for name in ("one", "two"))
    guest = ClientKeys.load(tmp_path / "one" / "clients" / "client")
    with served(keys=first) as one, served(keys=second) as two:
        with WorldClient(one.address, keys=guest, timeout_s=LIMIT_S) as client:
            assert client.connected
        assert shut_out(two, ClientKeys(guest.public, guest.secret, second.public))


def test_a_server_with_keys_that_ended_is_forgotten(folder: Path) -> None:
    keys = ServerKeys.load(folder)
    gc.collect()
    before = len(doorkeeping._doors)
    for _ in range(3):
        with served(keys=keys):
            assert len(doorkeeping._doors) == before + 1
    assert len(doorkeeping._doors) == before


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://10.0.0.1:5590"])
def test_beyond_this_machine_a_server_refuses_to_start_without_keys(address: str) -> None:
    with pytest.raises(OptionError, match="magi-rt keys"):
        WorldServer(dummy_world(), address)


def test_an_open_control_address_is_refused_as_well() -> None:
    with pytest.raises(OptionError, match="magi-rt keys"):
        WorldServer(dummy_world(), "tcp://127.0.0.1:*", control="tcp://0.0.0.0:*")


def test_with_keys_a_server_starts_beyond_this_machine(folder: Path) -> None:
    with served(address="tcp://0.0.0.0:*", keys=ServerKeys.load(folder)) as server:
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        keys = ClientKeys.load(folder / "clients" / "studio")
        with WorldClient(address, keys=keys, timeout_s=LIMIT_S) as client:
            assert client.facts.frames == "", "the address as the client has it counts"
            assert client.prompt("rain").wait(LIMIT_S).prompt == 1


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.8.9.1:1", True),
        ("tcp://localhost:1", True),
        ("tcp://[::1]:1", True),
        ("ipc:///tmp/x", True),
        ("tcp://0.0.0.0:1", False),
        ("tcp://*:1", False),
        ("tcp://[::]:1", False),
        ("tcp://192.168.0.7:1", False),
        ("tcp://eth0:1", False),
        ("tcp://127.0.0.1.example.com:1", False),
    ],
)
def test_which_addresses_stay_on_this_machine(address: str, here: bool) -> None:
    assert stays_here(address) is here
    if here:
        refuse_open_door(address, None)


def test_the_control_address_follows_from_that_of_the_frames() -> None:
    assert control_address("tcp://127.0.0.1:5590") == "tcp://127.0.0.1:5591"
    assert control_address("tcp://[::1]:7") == "tcp://[::1]:8"
    assert control_address("ipc:///tmp/world") == "ipc:///tmp/world.control"
    assert reachable("tcp://*:5590") == "" and reachable("tcp://[::]:5590") == ""
    assert reachable("tcp://10.0.0.1:5590") == "tcp://10.0.0.1:5590"


def test_keys_that_exist_stay_and_new_clients_are_added(folder: Path) -> None:
    before = (folder / "server.key_secret").read_bytes()
    assert make_keys(folder, ("studio",)) == []
    assert len(make_keys(folder, ("stage",))) == 4
    assert (folder / "server.key_secret").read_bytes() == before
    assert {path.stem for path in (folder / "allowed").iterdir()} == {"studio", "stage"}


def test_a_client_whose_folder_was_moved_stays_allowed_when_another_is_added(
    folder: Path, tmp_path: Path
) -> None:
    home = (folder / "clients" / "studio").rename(tmp_path / "carried")
    written = make_keys(folder, ("studio", "stage"))
    assert {path.parent.name for path in written} == {"stage", "allowed"}
    assert not (folder / "clients" / "studio").exists()
    assert ServerKeys.load(folder).allows(ClientKeys.load(home).public)


def test_a_client_that_was_shut_out_is_let_in_again_under_its_own_key(folder: Path) -> None:
    keys = ClientKeys.load(folder / "clients" / "studio")
    (folder / "allowed" / "studio.key").unlink()
    assert make_keys(folder, ("studio",)) == [folder / "allowed" / "studio.key"]
    assert ServerKeys.load(folder).allows(keys.public)
    assert ClientKeys.load(folder / "clients" / "studio") == keys


def test_the_command_says_whose_folder_is_to_be_copied_and_who_has_it_already(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "clients" / "studio").rename(tmp_path / "carried")
    said = CliRunner().invoke(app, ["keys", str(folder), "-c", "studio", "-c", "stage"]).output
    assert f"copy {folder / 'clients' / 'stage'} to stage" in said
    assert "studio is let in by the folder that it was given earlier" in said


def test_the_page_tells_which_file_holds_which_key(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| `([\w-]+)` in `([\w.]+)` \|", page, re.M)
    home = folder / "clients" / "studio"
    values = {}
    for which, word, file in rows:
        found = re.search(rf'^ *{word} = "(.{{40}})"$', (home / file).read_text("ascii"), re.M)
        assert found
        values[which] = found[1]
    assert ClientKeys(**values) == ClientKeys.load(home)


@pytest.mark.skipif(sys.platform == "win32", reason="needs file rights of POSIX")
def test_secret_keys_are_for_their_owner_alone(folder: Path) -> None:
    secrets = list(folder.rglob("*.key_secret"))
    assert len(secrets) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_secret_keys_do_not_show_in_print(folder: Path) -> None:
    server = ServerKeys.load(folder)
    client = ClientKeys.load(folder / "clients" / "studio")
    assert server.secret not in repr(server) and client.secret not in repr(client)


@pytest.mark.parametrize("name", ["../up", "", "a b", "x" * 65])
def test_a_client_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="client name"):
        make_keys(tmp_path, (name,))


def test_what_are_no_keys_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OptionError, match="40 characters"):
        ClientKeys("short", "short", "short")
    with pytest.raises(OptionError, match="magi-rt keys"):
        ServerKeys.load(tmp_path / "nowhere")
    with pytest.raises(OptionError, match="magi-rt keys"):
        ClientKeys.load(folder)
    (folder / "clients" / "studio" / "server.key").unlink()
    with pytest.raises(OptionError, match="whole client folder"):
        ClientKeys.load(folder / "clients" / "studio")
    server = ServerKeys.load(folder)
    with pytest.raises(OptionError, match="no folder"):
        ServerKeys(server.public, server.secret, tmp_path / "nowhere")


def test_allowed_keys_can_be_given_without_a_folder(folder: Path) -> None:
    keys, guest = ServerKeys.load(folder), ClientKeys.load(folder / "clients" / "studio")
    listed = ServerKeys(keys.public, keys.secret, frozenset({guest.public}))
    assert listed.allows(guest.public) and not listed.allows(keys.public)
