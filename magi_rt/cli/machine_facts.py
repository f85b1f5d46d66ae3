"""What a machine has, found without importing what is heavy: metadata, /proc, nvidia-smi."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OK, MISSING, BROKEN, UNUSED = "ok", "missing", "broken", "not needed"


@dataclass(frozen=True)
class Package:
    """A package that magi_rt uses.

    Attributes:
        names: distributions that provide it, the usual one first.
        module: what is imported.
        purpose: what it is for, in a few words.
        extra: the extra of magi-rt that brings it; "" for what magi-rt itself requires, ``None``
            for what pip installs under its own name.
        gpu: only of use with an NVIDIA GPU.
    """

    names: tuple[str, ...]
    module: str
    purpose: str
    extra: str | None = ""
    gpu: bool = False

    @property
    def needed(self) -> bool:
        """True when magi-rt does not run without."""
        return self.extra == ""

    @property
    def command(self) -> str:
        """What installs it."""
        if self.extra == "":
            return f"pip install --force-reinstall {self.names[0]}"
        if self.extra is None:
            return f"pip install {self.names[0]} --no-build-isolation"
        return f'pip install "magi-rt[{self.extra}]"'


PACKAGES = (
    Package(("torch",), "torch", "networks"),
    Package(("numpy",), "numpy", "arrays"),
    Package(("safetensors",), "safetensors", "weights"),
    Package(("tokenizers",), "tokenizers", "words"),
    Package(("sentencepiece",), "sentencepiece", "words of published models"),
    Package(("ftfy",), "ftfy", "words of published models"),
    Package(("beautifulsoup4",), "bs4", "words of published models"),
    Package(("av",), "av", "videos in and out"),
    Package(("pillow",), "PIL", "pictures in and out"),
    Package(("pyzmq",), "zmq", "frames to other programs"),
    Package(("msgpack",), "msgpack", "frames to other programs"),
    Package(("typer",), "typer", "commands"),
    Package(("rich",), "rich", "tables and progress"),
    Package(("pyyaml",), "yaml", "recipes of engines"),
    Package(("filelock",), "filelock", "kept engines"),
    Package(("starlette",), "starlette", "the demo's page"),
    Package(("uvicorn",), "uvicorn", "the demo's page"),
    Package(("websockets",), "websockets", "the demo's page"),
    Package(("openvino",), "openvino", "quicker on a CPU", "openvino"),
    Package(("onnx",), "onnx", "export", "onnx"),
    Package(("onnxscript",), "onnxscript", "export", "onnx"),
    Package(("onnxruntime", "onnxruntime-gpu"), "onnxruntime", "portable engines", "onnx"),
    Package(("tensorrt-rtx",), "tensorrt_rtx", "engines for RTX cards, built anywhere", "rtx"),
    Package(("tensorrt", "tensorrt-cu13"), "tensorrt", "engines for H100", "tensorrt", gpu=True),
    Package(("flash-attn",), "flash_attn", "quicker attention", None, gpu=True),
    Package(("sageattention",), "sageattention", "8-bit attention", None, gpu=True),
    Package(("opencv-python", "opencv-python-headless"), "cv2", "a window to watch", "viewer"),
    Package(("pygame-ce", "pygame"), "pygame", "games", "games"),
)


@dataclass(frozen=True)
class Finding:
    """One package as it is here.

    Attributes:
        state: one of "ok", "missing", "broken" and "not needed".
        version: as its metadata says, "" when it is not installed.
        remedy: the command that would mend it, "" when nothing is to be mended.
        detail: what is wrong, in words.
    """

    name: str
    state: str
    version: str
    purpose: str
    needed: bool
    remedy: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as its driver's tool tells it; memory in MiB."""

    name: str
    memory_mib: int
    driver: str
    capability: str


def look_up(package: Package, *, gpu: bool, try_import: bool = False) -> Finding:
    """One package: installed, whole, needed?

    Args:
        gpu: the machine has one.
        try_import: also import it, in a process of its own.
    """

    def found(state: str, version: str = "", remedy: str = "", detail: str = "") -> Finding:
        return Finding(
            package.names[0], state, version, package.purpose, package.needed, remedy, detail
        )

    version = _version(package.names)
    if not version:
        if package.gpu and not gpu:
            return found(UNUSED, detail="there is no NVIDIA GPU")
        return found(MISSING, remedy=package.command)
    wrong = _why_not_importable(package.module, try_import)
    if wrong:
        command = f"pip install --force-reinstall {package.names[0]}"
        return found(BROKEN, version, command, wrong)
    return found(OK, version)


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            # metadata of a package cut short may be there and say nothing
            found = importlib.metadata.version(name)
        except Exception:
            continue
        if found:
            return str(found)
    return ""


def _why_not_importable(module: str, try_import: bool) -> str:
    """Why a module of an installed package would not import; "" when it would, or nobody tried."""
    try:
        if importlib.util.find_spec(module) is None:
            return f"its metadata is there, its module {module} is not"
    except Exception as error:
        return f"looking for {module} fails: {error!r}"
    if not try_import:
        return ""
    _, wrong = said_apart(f"import {module}")
    return f"importing {module} fails: {wrong}" if wrong else ""


def said_apart(program: str) -> tuple[str, str]:
    """The last line that a program prints in a Python process of its own, and why it failed, if so.

    So what is broken, or loads much, stays out of this process.
    """
    command = [sys.executable, "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if done.returncode == 0:
        return (done.stdout.strip().splitlines() or [""])[-1], ""
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return "", lines[-1]


def cuda_of_torch() -> tuple[bool, str]:
    """Whether PyTorch finds a GPU to use, and for which CUDA it is built, "" for none.

    (True, "") where PyTorch cannot be imported.
    """
    said, wrong = said_apart(
        "import torch; print(int(torch.cuda.is_available()), torch.version.cuda or '')"
    )
    found, _, cuda = said.partition(" ")
    return bool(wrong) or found == "1", cuda


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where their driver's tool is not installed."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = "--query-gpu=name,memory.total,driver_version,compute_cap"
    try:
        done = subprocess.run(
            [tool, asked, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, errors="replace", timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return gpus_from(done.stdout) if done.returncode == 0 else []


def gpus_from(text: str) -> list[Gpu]:
    """GPUs from the tool's lines "name, MiB, driver, capability"; other lines are passed over."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and parts[1].isdigit():
            found.append(Gpu(parts[0], int(parts[1]), parts[2], parts[3]))
    return found


def processor() -> tuple[str, tuple[str, ...]]:
    """Its name, and those of its instruction sets that networks profit from."""
    wanted = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "asimd")
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine(), ()
    fields = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    told = {key.strip(): value.strip() for key, value in fields}
    flags = told.get("flags", told.get("Features", "")).split()
    name = told.get("model name", platform.machine())
    return name, tuple(each for each in wanted if each in flags)


def cores() -> int:
    """Cores that this process may use."""
    told = getattr(os, "sched_getaffinity", None)
    return len(told(0)) if told else os.cpu_count() or 1


def allocator() -> str:
    """What gives memory to this process, in words."""
    preloaded = os.environ.get("LD_PRELOAD", "")
    for name in ("jemalloc", "tcmalloc", "mimalloc"):
        if name in preloaded:
            return name
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return "the system's, told to keep freed memory"
    return "the system's"
