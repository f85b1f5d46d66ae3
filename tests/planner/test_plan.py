"""What is offered, what is refused, and what is said to be nearest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from magi_rt.cli.app import app
from magi_rt.cli.plan import subject_of
from magi_rt.config import MagiConfig
from magi_rt.errors import OptionError
from magi_rt.planner import plan
from magi_rt.planner.chips import GPUS, PRECISIONS, gpu, precisions_of
from magi_rt.planner.memory import denoiser_bytes
from magi_rt.planner.plan import Wish, best, choices
from magi_rt.planner.probe import this_cpu
from magi_rt.planner.speed import Timing, timing
from magi_rt.planner.steps import fitting_steps, taught_steps
from magi_rt.presets import PRESETS


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def answer(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(*arguments, "--json").stdout)
    return found


def test_whatever_is_offered_does_what_is_wished() -> None:
    told = answer("--gpu", "h100", "--fps", "30", "--memory", "12", "--delay", "1", "--all")
    assert told["fits"] and len(told["choices"]) > 5
    for each in told["choices"]:
        assert each["fps"] >= 30 and each["memory_gib"] <= 12 and each["delay_s"] <= 1


def test_a_call_reads_the_denoiser_and_not_the_auto_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject, read = subject_of("4.5b-distill"), list[float]()

    def noted(*given: Any, weight_bytes: float, **wishes: Any) -> Timing:
        read.append(weight_bytes)
        return timing(*given, weight_bytes=weight_bytes, **wishes)

    monkeypatch.setattr(plan, "timing", noted)
    for choice in choices(subject, gpu("h100"), Wish(24)):
        assert read.pop(0) == denoiser_bytes(subject, choice.precision) < choice.memory.weights
    assert not read


def test_the_largest_picture_of_each_rhythm_is_shown_and_the_next_larger_does_not_fit() -> None:
    subject, wish = subject_of("4.5b-distill"), Wish(24)
    found = choices(subject, GPUS["h100"], wish)
    offered = best(found)
    assert {(each.steps, each.window) for each in offered} >= {(8, 1), (8, 4), (64, 1)}
    order = [(-each.size[0] * each.size[1], -each.steps, each.window) for each in offered]
    assert order == sorted(order), "the largest first, then the most steps"
    for shown in offered:
        rivals = [
            each
            for each in found
            if (each.steps, each.window, each.precision)
            == (shown.steps, shown.window, shown.precision)
            and each.size[0] * each.size[1] > shown.size[0] * shown.size[1]
        ]
        assert not any(each.fits for each in rivals)


def test_no_is_said_with_what_would_work() -> None:
    result = asked("--gpu", "rtx4090", "--size", "720x720", "--steps", "8")
    assert result.exit_code == 1
    assert result.stdout.startswith("no: 4.5B-distill on rtx4090")
    assert "slower: " in result.stdout and "other settings on rtx4090: " in result.stdout


def test_a_delay_that_cannot_be_had_is_told_with_the_least_there_is() -> None:
    told = answer("--gpu", "rtx4090", "--size", "256x256", "--fps", "10", "--delay", "0.3")
    assert told["nearest"][0].startswith("later: ") and "window 1" in told["nearest"][0]
    refused = asked("--model", "4.5b-base", "--gpu", "rtx4090", "--window", "3")
    assert refused.exit_code == 2 and "64 steps do not divide among 3" in refused.output


def test_another_gpu_is_named_only_when_it_would_do() -> None:
    told = answer("--gpu", "rtx4090", "--size", "480x480", "--steps", "8", "--precision", "fp8")
    (other,) = [each for each in told["nearest"] if each.startswith("another GPU: ")]
    name = other.split()[2]
    again = answer("--gpu", name, "--size", "480x480", "--steps", "8", "--precision", "fp8")
    assert again["fits"]


def test_a_gpu_of_which_less_may_be_taken_is_not_its_own_way_out() -> None:
    first = next(iter(GPUS))
    told = answer("--gpu", first, "--memory", "3", "--fps", "1")
    (other,) = [each for each in told["nearest"] if each.startswith("another GPU: ")]
    assert not other.startswith(f"another GPU: {first} ")


def test_too_little_memory_is_told_in_gib() -> None:
    told = answer("--model", "24b-distill", "--gpu", "rtx4090")
    assert not told["fits"]
    assert told["nearest"][0].startswith("memory: the least that it takes is")


def test_pictures_smaller_than_in_training_are_marked_and_explained() -> None:
    told = answer("--gpu", "b200", "--all")
    marks = {tuple(each["size"]): each["never_seen_so_small"] for each in told["choices"]}
    assert marks[256, 256] and not marks[480, 480]
    assert any("360p, 480p and 720p" in note for note in told["notes"])
    assert not any(
        "trained at" in note for note in answer("--model", "nano", "--gpu", "h100")["notes"]
    )


def test_ways_whose_pictures_nobody_compared_are_shown_only_when_asked_for() -> None:
    ways = {each["precision"] for each in answer("--gpu", "rtx4090", "--all")["choices"]}
    assert ways == {"bf16", "fp8"}
    told = answer("--gpu", "rtx4090", "--precision", "fp8-quick")
    assert any("ceiling" in note for note in told["notes"])


def test_an_8_bit_variant_is_never_promised_16_bit_speed() -> None:
    names = {each["precision"] for each in answer("-m", "4.5b-distill-fp8", "--all")["choices"]}
    assert names == {"fp8"}
    for name in ("a100", "rtx3090"):
        refused = asked("--model", "4.5b-distill-fp8", "--gpu", name)
        assert refused.exit_code == 2 and f"{name} has no 8-bit products" in refused.stderr
    refused = asked("--model", "4.5b-distill-fp8", "--precision", "bf16")
    assert refused.exit_code == 2 and "use fp8" in refused.stderr
    nothing = answer("--model", "4.5b-distill-fp8", "--fps", "9000")
    assert not nothing["fits"] and nothing["nearest"][0].startswith("slower: ")


def test_base_models_are_promised_no_8_bit_weights_and_processors_none_at_all() -> None:
    roomy = ("--gpu", "h100", "--fps", "0.01", "--all")
    ways = {each["precision"] for each in answer("-m", "4.5b-base", *roomy)["choices"]}
    assert ways == {"bf16"}
    refused = asked("--model", "4.5b-distill-fp8", "--gpu", "cpu")
    assert refused.exit_code == 2 and "emulates them" in refused.stderr


def test_eight_bits_of_a_16_bit_variant_are_said_to_need_other_weights() -> None:
    needed = "fp8: needs weights in 8 bits, which 4.5B-distill has not"
    assert needed in answer("--gpu", "rtx4090")["notes"]
    assert not any("needs weights" in each for each in answer("-m", "4.5b-distill-fp8")["notes"])


def test_more_chunks_in_flight_answer_later_and_more_steps_are_slower() -> None:
    subject, wish = subject_of("4.5b-distill"), Wish(24, sizes=((256, 256),))
    figures = {
        (each.steps, each.window): each
        for each in choices(subject, GPUS["h200"], wish)
        if each.precision.name == "bf16"
    }
    assert figures[8, 4].timing.delay > 3.9 * figures[8, 1].timing.delay * 0.9
    assert figures[8, 1].fps > figures[16, 1].fps > figures[64, 1].fps
    assert figures[8, 4].timing.first < figures[8, 4].timing.delay


def test_a_model_is_offered_only_the_steps_that_it_was_taught() -> None:
    assert taught_steps(PRESETS["4.5B-base"]) == (64,)
    assert taught_steps(PRESETS["24B-distill"]) == (8, 12, 16, 32, 64)
    assert taught_steps(subject_of("nano").config) == (4, 8, 12, 16, 32, 64)
    assert fitting_steps(PRESETS["24B-distill"], 3) == ()
    assert fitting_steps(PRESETS["24B-distill"], 2) == (8, 12, 16, 32, 64)


def with_steps(config: MagiConfig, num_steps: int, shortest: int | None = None) -> MagiConfig:
    runtime = replace(config.runtime, num_steps=num_steps, shortest_steps=shortest)
    return replace(config, runtime=runtime)


@pytest.mark.parametrize("name", [name for name in PRESETS if "distill" in name])
def test_a_published_model_is_never_offered_4_steps_whatever_its_own_count(name: str) -> None:
    assert taught_steps(with_steps(PRESETS[name], 8)) == (8, 12, 16, 32, 64)


def test_what_a_model_says_of_its_shortest_steps_holds() -> None:
    nano = subject_of("nano").config
    assert taught_steps(with_steps(nano, 8, shortest=8)) == (8, 12, 16, 32, 64)
    assert taught_steps(with_steps(nano, 16, shortest=4)) == (4, 8, 12, 16, 32, 64)
    assert taught_steps(with_steps(subject_of("nano-base").config, 16, shortest=4)) == (16,)


def folder_with(at: Path, **files: str | bytes) -> Path:
    """A model folder of a configuration and other files; "/" is spelled "__" in their names."""
    config = json.dumps(PRESETS["4.5B-distill"].to_dict())
    for name, content in {"config.json": config, **files}.items():
        path = at / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return at


@pytest.mark.parametrize("card", ["{", "{}", '{"ddconfig": {}}', '{"ddconfig": {"embed_dim": 8}}'])
def test_a_folder_with_a_damaged_auto_encoder_card_is_refused_by_the_files_name(
    tmp_path: Path, card: str
) -> None:
    model = folder_with(tmp_path, **{"vae__config.json": card})
    refused = asked("--model", str(model))
    assert refused.exit_code == 2
    assert "vae" in refused.stderr and "config.json" in refused.stderr
    assert refused.stderr.count("\n") == 1


def t5_file(dtype: str, width: int, names: Sequence[str]) -> bytes:
    """A safetensors file of square matrices of nothing."""
    each = 8 * 8 * width
    header = {
        name: {"dtype": dtype, "shape": [8, 8], "data_offsets": [each * i, each * (i + 1)]}
        for i, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(each * len(names))


@pytest.mark.parametrize(("dtype", "width"), [("BF16", 2), ("F32", 4)])
def test_a_t5_is_reckoned_at_four_bytes_a_number_of_its_encoder(
    tmp_path: Path, dtype: str, width: int
) -> None:
    names = ["shared.weight", "encoder.embed_tokens.weight", "encoder.block.0.q", "decoder.block.0"]
    files = {"t5__t5-v1_1-xxl__config.json": "{}"}
    model = folder_with(tmp_path, **files)
    (model / "t5/t5-v1_1-xxl/model.safetensors").write_bytes(t5_file(dtype, width, names))
    assert subject_of(str(model)).text_bytes == 4 * (64 + 64)  # the table once, and one matrix


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--gpu", "rtx4080"), "did you mean"),
        (("--gpu", "abacus"), "there are rtx3090"),
        (("--gpu", "a100", "--precision", "fp8"), "no 8-bit products"),
        (("--precision", "int3"), "'int3' is unknown"),
        (("--size", "248x248"), "multiples of 16, and at least 32; try 256x256"),
        (("--size", "16x64"), "multiples of 16, and at least 32; try 32x64"),
        (("--steps", "7"), "never taught 7 steps"),
        (("--steps", "8", "--window", "3"), "do not divide"),
        (("--window", "9"), "1 to 4"),
        (("--fps", "-1"), "above 0"),
        (("--share", "2"), "0.05 to 1"),
        (("--model", "nowhere"), "no model folder"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_sentence(
    arguments: tuple[str, ...], says: str
) -> None:
    result = asked(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["RTX 4090", "rtx-4090", "NVIDIA GeForce RTX 4090", "4090"])
def test_a_gpu_is_known_by_its_usual_names(name: str) -> None:
    assert gpu(name).name == "rtx4090"


def test_every_gpu_names_its_source_and_quick_sums_are_no_slower() -> None:
    for chip in GPUS.values():
        assert chip.source and chip.bits16_quick >= chip.bits16 and chip.bits8_quick >= chip.bits8
        assert precisions_of(chip)[0] is PRECISIONS["bf16"]
    with pytest.raises(OptionError):
        Wish(0)


def test_this_processor_is_measured_and_planned_for() -> None:
    subject = subject_of("nano")
    chip = this_cpu(subject, seconds=0.05)
    assert chip.bits16 > 0 and chip.memory_gib > 0 and "GFLOP/s" in chip.source
    found = choices(subject, chip, Wish(0.001, sizes=((128, 128),)))
    assert found and all(each.fits_time for each in found)


def test_planning_for_a_gpu_loads_no_torch() -> None:
    program = (
        "import sys\nfrom magi_rt.cli.app import main\n"
        "sys.argv = ['magi-rt', 'plan', '--json']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.exit('loaded torch' if 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
