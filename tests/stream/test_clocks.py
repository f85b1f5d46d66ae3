"""Ages of frames on clocks that do not agree, drift, or belong to a way that becomes longer."""

from __future__ import annotations

from magi_rt.stream.clocks import Ages

MS = 1_000_000
FRAME = 1_000 * MS // 60


def paced(offset_ns: int = 0, delay_ns: int = MS, frames: int = 120) -> Ages:
    """Ages that have seen frames at 60 per second, each so long on its way."""
    ages = Ages()
    for seq in range(1, frames + 1):
        ages.age_ns(seq * FRAME, seq * FRAME + delay_ns + offset_ns)
        ages.pace(seq, seq * FRAME)
    return ages


def test_the_age_does_not_depend_on_what_the_clocks_say() -> None:
    for offset in (-(10**15), 0, 10**15):
        ages = paced(offset)
        sent = 121 * FRAME
        assert abs(ages.age_ns(sent, sent + 6 * MS + offset) - 5 * MS) < MS // 2


def test_a_frame_is_stale_after_two_frame_times() -> None:
    ages = paced()
    assert abs(ages.limit_ns - 2 * FRAME) <= 2
    assert not ages.is_stale(30 * MS)
    assert ages.is_stale(34 * MS)


def test_nothing_is_stale_before_the_pace_is_known() -> None:
    ages = Ages()
    assert ages.age_ns(0, 10**9) == 0
    assert not ages.is_stale(500 * MS)


def test_frames_that_are_due_much_faster_than_anybody_looks_are_no_sooner_stale() -> None:
    ages = Ages()
    for seq in range(1, 50):
        ages.pace(seq, seq * MS)
    assert ages.limit_ns >= 33 * MS


def test_the_pace_counts_frames_that_were_not_sent() -> None:
    ages = Ages()
    ages.pace(1, 0)
    ages.pace(6, 5 * 50 * MS)
    assert ages.frame_ns == 50 * MS


def test_what_queued_during_a_stall_is_stale_and_what_follows_is_not() -> None:
    ages = paced()
    resumed = 121 * FRAME + 10_000 * MS
    for late in range(5):
        sent = (121 + late) * FRAME
        assert ages.is_stale(ages.age_ns(sent, resumed + late * MS))
    assert not ages.is_stale(ages.age_ns(resumed, resumed + 10 * MS))


def test_a_way_that_has_become_longer_is_the_usual_one_after_a_second() -> None:
    ages = paced()
    found = []
    for seq in range(121, 241):
        sent = seq * FRAME
        found.append(ages.is_stale(ages.age_ns(sent, sent + 200 * MS)))
    assert found[:50] == [True] * 50
    assert not any(found[-50:])


def test_clocks_that_run_apart_make_no_frame_old() -> None:
    ages = Ages()
    for seq in range(1, 60 * 600):
        sent = seq * FRAME
        seen = sent + MS + sent // 10_000
        assert ages.age_ns(sent, seen) < MS


def test_an_hour_without_frames_does_not_make_late_ones_fresh() -> None:
    ages = paced()
    sent = 121 * FRAME + 3_600_000 * MS
    assert ages.is_stale(ages.age_ns(sent, sent + 200 * MS))


def test_late_frames_with_a_pause_between_them_are_no_sign_of_a_longer_way() -> None:
    ages = paced()
    for seq in (121, 241, 242):
        assert ages.is_stale(ages.age_ns(seq * FRAME, seq * FRAME + 200 * MS))


def test_a_longer_way_is_as_long_as_its_quickest_frame() -> None:
    ages = paced()
    for seq in range(121, 181):
        assert ages.is_stale(ages.age_ns(seq * FRAME, seq * FRAME + 200 * MS))
    assert ages.age_ns(181 * FRAME, 181 * FRAME + 280 * MS) == 80 * MS


def test_frames_that_are_due_less_than_once_a_second_are_no_later_stale() -> None:
    ages = Ages()
    ages.pace(1, 0)
    ages.pace(2, 60_000 * MS)
    assert ages.limit_ns == 2_000 * MS
