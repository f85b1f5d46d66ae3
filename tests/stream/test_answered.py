"""What was answered is remembered, within limits."""

from __future__ import annotations

from magi_rt.stream.answered import Answered


def test_a_new_request_is_not_known_and_one_that_began_is() -> None:
    memory = Answered()
    assert memory.answers("a", 1) is None
    memory.begin("a", 1)
    assert memory.answers("a", 1) == []
    memory.keep("a", 1, b"accepted")
    memory.keep("a", 1, b"applied")
    assert memory.answers("a", 1) == [b"accepted", b"applied"]
    assert memory.answers("b", 1) is None


def test_only_the_last_requests_of_a_client_are_remembered() -> None:
    memory = Answered(requests=3)
    for number in range(1, 6):
        memory.begin("a", number)
    assert [memory.answers("a", number) for number in range(1, 6)] == [None, None, [], [], []]


def test_only_the_clients_that_asked_last_are_remembered() -> None:
    memory = Answered(clients=2)
    for client in ("a", "b"):
        memory.begin(client, 1)
    memory.begin("a", 2)
    memory.begin("c", 1)
    assert memory.answers("b", 1) is None
    assert memory.answers("a", 1) == [] and memory.answers("c", 1) == []


def test_a_client_that_only_asks_again_is_not_forgotten() -> None:
    memory = Answered(clients=2)
    memory.begin("patient", 1)
    for number in range(10):
        memory.begin(f"passing {number}", 1)
        assert memory.answers("patient", 1) == []


def test_an_answer_to_something_forgotten_changes_nothing() -> None:
    memory = Answered(requests=1)
    memory.begin("a", 1)
    memory.begin("a", 2)
    memory.keep("a", 1, b"late")
    memory.keep("z", 1, b"late")
    assert memory.answers("a", 1) is None and len(memory) == 1


def test_a_request_that_was_turned_away_is_new_when_it_comes_again() -> None:
    memory = Answered()
    memory.begin("a", 1)
    memory.forget("a", 1)
    memory.forget("z", 1)
    assert memory.answers("a", 1) is None


def test_the_memory_stays_within_its_limits() -> None:
    memory = Answered()
    for client in range(70):
        for number in range(1, 300):
            memory.begin(f"c{client}", number)
    assert len(memory) == 64 * 256


def test_long_answers_cost_the_client_that_has_most_of_them_its_oldest() -> None:
    memory = Answered(most_bytes=100)
    memory.begin("modest", 1)
    memory.keep("modest", 1, bytes(20))
    for number in range(1, 20):
        memory.begin("greedy", number)
        memory.keep("greedy", number, bytes(30))
    assert memory.answers("modest", 1) == [bytes(20)]
    kept = [number for number in range(1, 20) if memory.answers("greedy", number)]
    assert kept == [18, 19]


def test_what_is_forgotten_makes_room() -> None:
    memory = Answered(clients=3, requests=2, most_bytes=100)
    for number in range(1, 50):
        for client in (f"passing {number}", "turned away", "patient"):
            memory.begin(client, number)
            memory.keep(client, number, bytes(20))
        memory.forget("turned away", number)
    assert memory.answers("patient", 48) and memory.answers("patient", 49)
