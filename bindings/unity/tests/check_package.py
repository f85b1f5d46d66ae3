"""Checks what Unity's package manager would stumble over.

python check_package.py PACKAGE_FOLDER
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

GUID = re.compile(r"^guid: ([0-9a-f]{32})$", re.MULTILINE)


def imported(package: Path) -> Iterator[Path]:
    """What the editor imports: not names that end in ~ or begin with a dot."""
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        if not any(part.endswith("~") or part.startswith(".") for part in parts):
            yield path


def faults(package: Path) -> Iterator[str]:
    """Sentences, one per fault."""
    guids: dict[str, Path] = {}
    for path in imported(package):
        if path.suffix == ".meta":
            if not path.with_suffix("").exists():
                yield f"{path} describes nothing"
            continue
        meta = path.with_name(path.name + ".meta")
        found = GUID.search(meta.read_text()) if meta.exists() else None
        if found is None:
            yield f"{path} has no .meta file with a guid: a package from git would leave it out"
        elif found[1] in guids:
            yield f"{path} and {guids[found[1]]} have the same guid"
        else:
            guids[found[1]] = path
    yield from manifest_faults(package)
    yield from assembly_faults(package)


def manifest_faults(package: Path) -> Iterator[str]:
    manifest = json.loads((package / "package.json").read_text())
    if not re.fullmatch(r"[a-z0-9._-]+", manifest["name"]):
        yield f"{manifest['name']} is no name for a package"
    changes = (package / "CHANGELOG.md").read_text()
    if f"## [{manifest['version']}]" not in changes:
        yield f"the changelog does not speak of version {manifest['version']}"
    for sample in manifest["samples"]:
        if not list((package / sample["path"]).glob("*.cs")):
            yield f"the sample {sample['path']} has no script"


def assembly_faults(package: Path) -> Iterator[str]:
    definitions = {path: json.loads(path.read_text()) for path in package.rglob("*.asmdef")}
    ours = {definition["name"] for definition in definitions.values()}
    for path, definition in definitions.items():
        if path.stem != definition["name"]:
            yield f"{path} defines {definition['name']}"
        for other in definition["references"]:
            if other not in ours and not other.startswith("UnityEngine."):
                yield f"{path} refers to {other}, which is nowhere"
    for script in package.rglob("*.cs"):
        covered = any(path.parent in script.parents for path in definitions)
        if not covered and "~" not in str(script):
            yield f"{script} belongs to no assembly: packages need a definition above every script"


def main(folder: str) -> int:
    found = list(faults(Path(folder)))
    print("\n".join(found) or "nothing that a package manager would stumble over")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
