"""A small stand-in for Unreal's header tool: checks reflected headers and writes what they include.

    python header_tool.py SOURCE_FOLDER OUTPUT_FOLDER [FOLDERS_OF_MODULES_THAT_IT_USES...]

It knows the rules that are easiest to break: the generated header comes last, reflected types are
those that Blueprints have, and what Blueprints see has a category.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PLAIN = {"bool", "int32", "int64", "float", "double", "uint8", "FString", "FName", "void"}
ENGINE = {"UTexture", "UTexture2D", "UMeshComponent", "UMaterialInterface"}
ENGINE |= {"UMaterialInstanceDynamic"}
MACRO = re.compile(r"^\s*(UPROPERTY|UFUNCTION)\((.*)\)\s*$")
BODY = re.compile(r"^\s*GENERATED_BODY\(\)\s*$")
TYPE = re.compile(r"^(?:struct|class)\s+(?:\w+_API\s+)?(\w+)(?:\s*:\s*public\s+(\w+))?")
DECLARED = re.compile(
    r"enum class (\w+)|^(?:struct|class) (?:\w+_API )?(\w+) *:|^struct \w+_API (\w+)"
    r"|DELEGATE_\w+\((\w+)",
    re.M,
)
FUNCTION = re.compile(r"^\s*([\w<>*&: ]+?)\s*\b\w+\((.*)\)(?: const)?;")
PROPERTY = re.compile(r"^\s*([\w<>*: ]+?)\s+\w+(?:\s*=.*)?;")


def reflected_headers(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*.h")) if ".generated.h" in file.read_text()]


class Headers:
    """All headers of a module, and what they declare."""

    def __init__(self, source: Path, used: list[Path]) -> None:
        self.files = reflected_headers(source)
        files = [file for folder in [source, *used] for file in reflected_headers(folder)]
        text = "\n".join(file.read_text() for file in files)
        self.known = {name for names in DECLARED.findall(text) for name in names if name}
        self.faults: list[str] = []

    def write(self, output: Path) -> None:
        output.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            (output / f"{file.stem}.generated.h").write_text(self.generated(file))

    def generated(self, file: Path) -> str:
        """The generated header of one file, and its faults noted."""
        lines = file.read_text().splitlines()
        includes = [line for line in lines if line.startswith("#include")]
        if includes[-1] != f'#include "{file.stem}.generated.h"':
            self.faults.append(f"{file.name}: its generated header is not the last include")
        identity = f"SHIM_{file.stem}"
        out = [f"#undef CURRENT_FILE_ID\n#define CURRENT_FILE_ID {identity}"]
        name, base, bodies = "", "", 0
        for number, line in enumerate(lines, start=1):
            if found := TYPE.match(line):
                name, base = found[1], found[2] or ""
            if BODY.match(line):
                bodies += 1
                out.append(f"#define {identity}_{number}_BODY {self.body(name, base)}")
            if found := MACRO.match(line):
                self.check(file, number, found[1], found[2], lines[number])
        reflected = sum(line.startswith(("UCLASS", "USTRUCT")) for line in lines)
        if bodies != reflected:
            self.faults.append(f"{file.name}: {reflected} reflected types, {bodies} bodies")
        return "\n".join(out) + "\n"

    @staticmethod
    def body(name: str, base: str) -> str:
        if not base:
            return ""
        return f"public: using Super = {base}; using ThisClass = {name}; private:"

    def check(self, file: Path, number: int, macro: str, words: str, line: str) -> None:
        """One property or function: types and category."""
        where = f"{file.name}:{number}"
        if re.search(r"Blueprint|Edit", words) and "Category" not in words:
            self.faults.append(f"{where}: no category")
        found = (FUNCTION if macro == "UFUNCTION" else PROPERTY).match(line)
        if found is None:
            self.faults.append(f"{where}: not understood: {line.strip()}")
            return
        types = [found[1]]
        if macro == "UFUNCTION" and found[2]:
            types += [re.sub(r"\s*=.*", "", part).rsplit(" ", 1)[0] for part in found[2].split(",")]
        for one in types:
            if not self.reflected(one):
                self.faults.append(f"{where}: {one} is no type that Blueprints have")

    def reflected(self, spelled: str) -> bool:
        bare = re.sub(r"\bconst\b|[&*]", "", spelled).strip()
        if inner := re.fullmatch(r"(?:TArray|TObjectPtr)<(.+)>", bare):
            return self.reflected(inner[1])
        return bare in PLAIN | ENGINE | self.known


def main(source: str, output: str, *used: str) -> int:
    headers = Headers(Path(source), [Path(folder) for folder in used])
    headers.write(Path(output))
    print("\n".join(headers.faults) or f"{len(headers.files)} headers are as they should be")
    return 1 if headers.faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
