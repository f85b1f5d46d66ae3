"""The golden files are up to date, and this package reads and writes what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from magi_rt.stream.events import unpack_event
from magi_rt.stream.unpack import WireError, bounded_unpack
from magi_rt.stream.wire import (
    FrameHeader,
    check_topic,
    pack_header,
    pack_packed,
    pack_sent,
    unpack_header,
    unpack_packed,
)
from tests.stream.write_golden import FOLDER, files

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text("utf-8"))["messages"]


def entries(*kinds: str, valid: bool) -> list[Any]:
    found = [each for each in INDEX if each["kind"] in kinds and each["valid"] is valid]
    assert found
    return [pytest.param(each, id=each["file"].removesuffix(".bin")) for each in found]


def content(entry: Mapping[str, str]) -> bytes:
    return (FOLDER / entry["file"]).read_bytes()


def spelled(header: FrameHeader) -> dict[str, Any]:
    """A header as the index spells it."""
    values = {"version": 1, **asdict(header)}
    if not values["steps"]:
        del values["steps"]
    place = values.pop("shared")
    return values if place is None else values | {"shared": {"slot": place[0], "turn": place[1]}}


def read(entry: Mapping[str, Any]) -> object:
    """What this package reads from a frame's or an event's bytes."""
    data = content(entry)
    match entry["kind"]:
        case "header":
            return unpack_header(data)
        case "packed":
            return unpack_packed(data)
        case _:
            return unpack_event(data)


def test_the_committed_files_are_what_the_script_makes() -> None:
    made = files()
    assert {path.name for path in FOLDER.iterdir()} == set(made)
    stale = [name for name, data in made.items() if (FOLDER / name).read_bytes() != data]
    assert stale == []


@pytest.mark.parametrize("entry", entries("header", valid=True))
def test_a_good_header_says_what_the_index_says(entry: dict[str, Any]) -> None:
    assert spelled(unpack_header(content(entry))) == entry["value"]


@pytest.mark.parametrize("entry", entries("packed", valid=True))
def test_a_good_packed_frame_says_what_the_index_says(entry: dict[str, Any]) -> None:
    topic, header, pixels = unpack_packed(content(entry))
    check_topic(topic, header)
    assert topic.name.decode() == entry["value"]["topic"]
    assert spelled(header) == entry["value"]["header"]
    assert pixels.hex() == entry["value"]["pixels"]["bytes"]


@pytest.mark.parametrize("entry", entries("event", valid=True))
def test_a_good_event_says_what_the_index_says(entry: dict[str, Any]) -> None:
    event = unpack_event(content(entry))
    said = {"version": 1, "type": event.type or entry["value"]["type"], **asdict(event)}
    assert said == entry["value"]


@pytest.mark.parametrize("entry", entries("request", "answer", valid=True))
def test_good_requests_and_answers_lie_within_the_limits(entry: dict[str, Any]) -> None:
    assert set(bounded_unpack(content(entry), 65_536)) >= set(entry["value"])


@pytest.mark.parametrize("entry", entries("header", "packed", "event", valid=False))
def test_a_faulty_message_is_refused_with_the_code_of_the_index(entry: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refused:
        read(entry)
    assert refused.value.code == entry["code"]
    assert refused.value.message


@pytest.mark.parametrize("entry", entries("header", valid=True))
def test_a_header_written_here_is_read_alike(entry: dict[str, Any]) -> None:
    header = unpack_header(content(entry))
    assert unpack_header(pack_header(header)) == header


@pytest.mark.parametrize("entry", entries("header", valid=True))
def test_a_header_on_its_way_out_is_the_picture_s_with_what_its_format_changes(
    entry: dict[str, Any],
) -> None:
    header = replace(unpack_header(content(entry)), shared=None)
    sent = unpack_header(pack_sent(header, "bgra8", "bottom", header.height * header.width * 4, 2))
    assert sent.sent_ns > 0
    assert sent == replace(
        header,
        format="bgra8",
        rows="bottom",
        stride=4 * header.width,
        size=4 * header.width * header.height,
        flags=header.flags | 2,
        sent_ns=sent.sent_ns,
    )
    place = pack_sent(header, "rgb8", "top", header.height * header.width * 3, 0, (3, 8))
    assert unpack_header(place).shared == (3, 8)


def test_headers_frames_and_events_are_written_byte_for_byte_as_the_files() -> None:
    for entry in INDEX:
        if not entry["valid"] or "-unknown-" in entry["file"] or "order" in entry["file"]:
            continue
        data = content(entry)
        if entry["kind"] == "packed":
            topic, header, pixels = unpack_packed(data)
            assert pack_packed(topic.name, header, pixels) == data
        elif (
            entry["kind"] == "header"
            and "twice" not in entry["file"]
            and "signed" not in entry["file"]
        ):
            assert pack_header(unpack_header(data)) == data
