"""Keys and sticks say prompts, wrong maps are refused with the way out."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest

from magi_rt.errors import CheckpointError, ConfigError, OptionError
from magi_rt.training.worlds.toybox_prompts import phrasings
from magi_rt.world.actions import WAYS, ActionMap, Suggestions, key_name

PULL = {"right": "R", "up": "U", "left": "L", "down": "D"}


def at(degrees: float, reach: float = 1.0) -> tuple[float, float]:
    return reach * math.cos(math.radians(degrees)), reach * math.sin(math.radians(degrees))


@pytest.mark.parametrize(
    ("spelled", "name"),
    [("ArrowLeft", "left"), ("left", "left"), (" ", "space"), ("N", "n"), ("Escape", "escape")],
)
def test_a_key_has_one_name_however_a_toolkit_spells_it(spelled: str, name: str) -> None:
    assert key_name(spelled) == name


def test_a_key_says_its_prompt_and_others_say_nothing() -> None:
    actions = ActionMap.from_table({"keys": {"ArrowLeft": "gravity pulls left"}})
    assert actions.key("LEFT") == "gravity pulls left"
    assert actions.key("q") is None


def test_a_stick_speaks_once_for_each_direction_it_takes() -> None:
    stick = ActionMap(pull=PULL).stick()
    said = [stick.move(*at(angle)) for angle in (0, 10, 90, 95, 180, 270, 350)]
    assert said == ["R", None, "U", None, "L", "D", "R"]


def test_a_shaky_hand_at_a_border_says_one_thing() -> None:
    stick = ActionMap(pull=PULL).stick()
    assert [stick.move(*at(angle)) for angle in (40, 50, 44, 56, 46)] == ["R", *[None] * 4]
    assert stick.move(*at(58)) == "U"


def test_a_stick_in_the_middle_is_silent_and_speaks_anew_afterwards() -> None:
    stick = ActionMap(pull=PULL).stick(dead_zone=0.5)
    moves = [(0.4, 0.0), (0.6, 0.0), (0.4, 0.0), (0.3, 0.0), (0.6, 0.0)]
    assert [stick.move(*place) for place in moves] == [None, "R", None, None, "R"]


def test_a_hand_that_shakes_at_the_dead_zone_says_one_thing() -> None:
    stick = ActionMap(pull=PULL).stick(dead_zone=0.5)
    assert [stick.move(reach, 0.0) for reach in (0.52, 0.46, 0.52, 0.4, 0.6)] == ["R", *[None] * 4]


def test_half_the_way_is_enough_for_a_stick_and_a_quarter_is_not() -> None:
    stick = ActionMap(pull=PULL).stick()
    assert [stick.move(0.0, reach) for reach in (0.25, 0.5)] == [None, "U"]


def test_places_that_are_no_numbers_change_nothing() -> None:
    stick = ActionMap(pull=PULL).stick()
    stick.move(1, 0)
    assert stick.move(math.nan, 0) is None and stick.move(math.inf, 1) is None
    assert stick.way == "right"


def test_a_direction_without_prompt_is_silent() -> None:
    assert ActionMap(pull={"up": "U"}).stick().move(1, 0) is None


@pytest.mark.parametrize("dead_zone", [0.0, 1.0, math.nan])
def test_a_dead_zone_outside_its_range_is_refused(dead_zone: float) -> None:
    with pytest.raises(OptionError, match=r"0\.05 to 0\.95"):
        ActionMap().stick(dead_zone=dead_zone)


def test_nanos_map_is_whole_and_its_prompts_are_in_the_worlds_own_words() -> None:
    actions = ActionMap.of("nano")
    assert set(actions.pull) == set(WAYS) and actions.start and len(actions.suggestions) >= 3
    plain = {
        phrase
        for kind, value in [("gravity", w) for w in ("left", "right", "up", "down", "none")]
        + [("light", v) for v in ("night", "dusk", "day")]
        + [("weather", v) for v in ("rain", "snow", "clear")]
        + [("pace", v) for v in ("freeze", "slow", "normal")]
        + [("wind", v) for v in ("left", "right")]
        for phrase in phrasings(kind, value)
    }
    spoken = {*actions.keys.values(), *actions.pull.values()} - {"the red ball jumps"}
    assert spoken <= plain
    assert ActionMap.from_table(actions.to_table()) == actions


def test_the_dummy_world_takes_nanos_map_and_a_model_without_map_has_an_empty_one(
    tmp_path: Path,
) -> None:
    assert ActionMap.of("dummy") == ActionMap.of("nano")
    with pytest.raises(CheckpointError):
        ActionMap.of(tmp_path / "none")


def test_a_file_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('start = "a room"\n[[suggestions]]\ntitle = "T"\nprompts = ["x"]\n')
    assert ActionMap.load(path) == ActionMap("a room", suggestions=(Suggestions("T", ("x",)),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[key]\na = 'x'", "did you mean 'keys'"),
        (
            "[pull]\nlefft = 'x'",
            "'lefft'; did you mean 'left'\\? It may have right, up",
        ),
        ("foo = 'x'", "has no entry 'foo'; it may have start, keys, pull, suggestions"),
        ("[keys]\na = 3", "keys.a must be a prompt"),
        ("keys = 3", "must be a table"),
        ("suggestions = 3", r"must be \[\[suggestions\]\]"),
        ("suggestions = [3]", "title and prompts"),
        ("[[suggestions]]\nprompt = []", "did you mean 'prompts'"),
        ("[[suggestions]]\nprompts = 'x'", "must be a list"),
        ("start = " + repr("x" * 4001), "at most 4000"),
        ("[keys]\n" + "".join(f"k{n} = 'x'\n" for n in range(201)), "table of at most 200"),
        ("[[suggestions]]\n" * 201, "tables, at most 200"),
        (f"[[suggestions]]\nprompts = {['x'] * 201}", "list of at most 200"),
        ("[keys]\nLeft = 'x'\nArrowLeft = 'y'", "two entries for the key 'left', one of them 'Arr"),
        ("[keys", "is not TOML"),
        ("start = " + "[" * 30_000, "is not TOML"),
        ("start = " + "9" * 5_000, "is not TOML"),
        ("#" * 70_000, "larger than"),
    ],
)
def test_a_wrong_map_is_refused_with_what_it_may_have(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        ActionMap.load(path)
    assert "wrong.toml" in refused.value.message


def test_a_map_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        ActionMap.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        ActionMap.load("a\0b")


def test_the_shipped_map_is_toml_that_others_can_read() -> None:
    import magi_rt

    path = Path(magi_rt.__file__).parent / "nano" / "actions.toml"
    assert tomllib.loads(path.read_text())["keys"]["left"] == "gravity pulls left"
