"""Requests and answers of the golden files, read by this package."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from magi_rt.stream.answers import Accepted, Applied, Refusal, unpack_answer
from magi_rt.stream.messages import RequestError, pack_request, unpack_request
from magi_rt.stream.unpack import WireError
from tests.stream.write_golden import FOLDER

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text("utf-8"))["messages"]


def entries(kind: str, *, valid: bool) -> list[Any]:
    found = [each for each in INDEX if each["kind"] == kind and each["valid"] is valid]
    assert len(found) > 10
    return [pytest.param(each, id=each["file"].removesuffix(".bin")) for each in found]


def content(entry: dict[str, Any]) -> bytes:
    found: bytes = (FOLDER / entry["file"]).read_bytes()
    return found


def spelled(value: Any) -> Any:
    """A value as the index spells it."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("entry", entries("request", valid=True))
def test_a_good_request_says_what_the_index_says(entry: dict[str, Any]) -> None:
    request = unpack_request(content(entry))
    said = {key: spelled(value) for key, value in asdict(request.body).items()}
    said |= {
        "version": 1,
        "client": request.client,
        "id": request.id,
        "type": request.body.kind,
    }
    assert {key: said[key] for key in entry["value"]} == entry["value"]
    assert unpack_request(pack_request(request)) == request


@pytest.mark.parametrize("entry", entries("request", valid=False))
def test_a_faulty_request_is_refused_with_code_and_id_of_the_index(entry: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as refused:
        unpack_request(content(entry))
    assert (refused.value.code, refused.value.id) == (entry["code"], entry["id"])


@pytest.mark.parametrize("entry", entries("answer", valid=True))
def test_a_good_answer_says_what_the_index_says(entry: dict[str, Any]) -> None:
    answer, value = unpack_answer(content(entry)), entry["value"]
    kinds = {"accepted": Accepted, "applied": Applied, "error": Refusal}
    assert type(answer) is kinds[value["type"]]
    said = asdict(answer)
    said |= said.pop("values", {})
    wanted = {key: each for key, each in value.items() if key not in ("version", "type")}
    assert {key: said[key] for key in wanted} == wanted


@pytest.mark.parametrize("entry", entries("answer", valid=False))
def test_a_faulty_answer_is_refused_with_the_code_of_the_index(entry: dict[str, Any]) -> None:
    with pytest.raises(WireError) as refused:
        unpack_answer(content(entry))
    assert refused.value.code == entry["code"]
