"""The licences of all that is in the binary, each text once, with who it is from.

Usage: .ci/release/notices.py FILE   (make notices)
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import crates

LICENCE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?", re.IGNORECASE)
# Parts of a crate that are in no binary.
ELSEWHERE = {"tests", "test", "examples", "benches", "doc", "docs", "contrib", "fuzz"}
# Code, whatever its name.
CODE = {".rs", ".c", ".h", ".py", ".sh", ".toml", ".pl", ".go"}
VENDOR = crates.ROOT / "ui/vendor"


def main():
    packages = crates.packages()
    linked = sorted(crates.linked(crates.host()))
    texts = defaultdict(list)
    without = []
    for name, version in linked:
        package = packages[name, version]
        if name == "gateway":
            continue
        title = f"{name} {version} ({package['license']})"
        found = list(licences(Path(package["manifest_path"]).parent))
        for path in found:
            texts[plain(path)].append(title)
        if not found:
            without.append(title)
    for path in sorted(VENDOR.glob("LICENSE-*")):
        texts[plain(path)].append(f"{path.stem.removeprefix('LICENSE-')}, in the portal")
    write(Path(sys.argv[1]), texts, without)
    print(f"{sys.argv[1]}: {len(texts)} texts for {len(linked) - 1} crates, {len(without)} of them without one")


def licences(folder):
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts[:-1]
        if LICENCE.fullmatch(path.name) and path.suffix not in CODE and not ELSEWHERE & set(inside) and path.is_file():
            yield path


def plain(path):
    lines = path.read_text(errors="replace").replace("\r\n", "\n").splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def write(file, texts, without):
    rule = "=" * 80
    parts = ["What the gateway's binary contains of others, and under which licences."]
    for text, titles in sorted(texts.items(), key=lambda item: (-len(set(item[1])), item[1])):
        parts += [rule, "\n".join(dict.fromkeys(titles)), "-" * 80, text]
    if without:
        parts += [rule, "Published under the licence named, without its text:\n\n" + "\n".join(without)]
    file.write_text("\n\n".join(parts) + "\n")


main()
