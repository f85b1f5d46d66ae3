"""Captions are read as they are written, by us and by others, and odd ones are refused."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from magi_rt.errors import MediaError
from magi_rt.training.recordings.captions import Caption, captions_text, read_captions

TWO = "1\n00:00:01,000 --> 00:00:02,500\nturn left\n\n2\n00:00:02,500 --> 00:01:00,000\ngo on\n"


def read(tmp_path: Path, text: str | bytes) -> list[Caption]:
    path = tmp_path / "run.srt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_captions(path)


def told(captions: list[Caption]) -> list[tuple[float, float, str]]:
    return [(one.start_s, one.end_s, one.prompt) for one in captions]


def test_captions_hold_from_their_start_to_their_end(tmp_path: Path) -> None:
    assert told(read(tmp_path, TWO)) == [(1.0, 2.5, "turn left"), (2.5, 60.0, "go on")]


@pytest.mark.parametrize(
    "text",
    [
        TWO.replace("\n", "\r\n"),
        "\ufeff" + TWO,
        TWO.replace(",", "."),
        "\n\n" + TWO.rstrip("\n"),
        TWO.replace("1\n00", "00").replace("2\n00", "00"),
        TWO.replace("turn left", "<i>turn</i>\n{\\an8}left"),
        TWO.replace("2,500\nturn", "2,500  X1:0 X2:9\nturn"),
        TWO + "\n3\n00:02:00,000 --> 00:03:00,000\n",
    ],
    ids=["crlf", "bom", "points", "loose ends", "no numbers", "marks", "places", "empty text"],
)
def test_what_other_programs_write_is_read_alike(tmp_path: Path, text: str) -> None:
    assert told(read(tmp_path, text)) == [(1.0, 2.5, "turn left"), (2.5, 60.0, "go on")]


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == read(tmp_path, "\n \n") == []


def test_a_caption_of_signs_alone_asks_for_nothing_in_particular(tmp_path: Path) -> None:
    captions = read(tmp_path, TWO.replace("go on", "..."))
    assert [one.prompt for one in captions] == ["turn left", "..."]


def test_captions_survive_being_written(tmp_path: Path) -> None:
    captions = read(tmp_path, TWO)
    assert read(tmp_path, captions_text(captions)) == captions


def test_another_reader_finds_the_same_captions(tmp_path: Path) -> None:
    path = tmp_path / "run.srt"
    path.write_text(captions_text([Caption(1 / 3, 5 / 3, "snow", 0), Caption(2, 3700, "sun", 0)]))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    found = [(packet.pts, packet.duration, bytes(packet).decode()) for packet in packets]
    assert found == [(333, 1333, "snow"), (2000, 3_698_000, "sun")]


def test_an_arrow_alone_is_no_time(tmp_path: Path) -> None:
    (_, second) = read(tmp_path, TWO.replace("go on", "go --> on"))
    assert second.prompt == "go --> on"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("hello", 1, "'hello' is no time such as"),
        (TWO.replace("00:00:02,500 -->", "00:00:xx,500 -->"), 6, "is no time such as"),
        (TWO.replace("00:01:00", "00:61:00"), 6, "is no time such as"),
        (TWO.replace("left\n\n", "left\n"), 5, "put an empty line before it"),
        (TWO.replace("turn left", "turn\n\nleft"), 5, "an empty line ends it"),
        (TWO.replace("00:00:02,500\n", "00:00:00,500\n"), 2, "must end later than it starts"),
        (TWO.replace("02,500\n", "02,900\n"), 6, "before the one of line 2 ends"),
        (TWO.replace("go on", "x" * 4001), 6, "the limit is 4,000"),
        (TWO.replace("go on", "\u5de6\u8f6c"), 6, "read nothing of '\u5de6\u8f6c' (no Chinese"),
        (TWO.replace("go on", "car.png"), 6, "addresses or file names"),
        (TWO.replace("go on", "g\xf6").encode("latin-1"), 7, "save the captions as UTF-8"),
    ],
)
def test_an_odd_caption_is_refused_with_file_and_line(
    tmp_path: Path, text: str | bytes, line: int, says: str
) -> None:
    with pytest.raises(MediaError) as refused:
        read(tmp_path, text)
    assert f"{tmp_path / 'run.srt'} line {line}" in refused.value.message
    assert says in refused.value.message and refused.value.field == "captions"
