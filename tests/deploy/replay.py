"""Replays the Dockerfile without an engine: copies what it copies, as far as .dockerignore lets it, into an empty
folder, runs there what it runs, and puts together what an image holds beside its base. So it is known that the
build needs nothing that is not copied, that the layer of dependencies is not built twice, and that the program
starts with the libraries of the smaller image's base alone.

Usage: tests/deploy/replay.py   (make replay-dockerfile; variables such as CARGO_PROFILE_RELEASE_LTO=off make it quick)

What a folder cannot show is left out: packages of the bases, users, labels, and the bases themselves.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "replayed"
# What the base of the smaller image has of all that a program may be linked to.
LIBRARIES = {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1"}


def main():
    with tempfile.TemporaryDirectory(prefix="gateway-image-") as folder:
        folder = Path(folder)
        context = let_in(folder / "context")
        stages = {}
        for name, steps in read(ROOT / "Dockerfile"):
            print(f"== {name}", flush=True)
            stages[name] = replay(folder / name, steps, context, stages)
        for name in ["gateway", "gateway-minimal"]:
            show(name, stages[name])
        start_with_few_libraries(stages["gateway-minimal"] / "usr/local/bin/gateway", folder / "few")


def read(dockerfile):
    """The stages, each with its steps: an instruction and its words."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, words = line.split(maxsplit=1)
        if instruction == "FROM":
            stages.append((words.split(" AS ")[1], []))
        else:
            stages[-1][1].append((instruction, words))
    return stages


def let_in(context):
    """The files that are sent to the engine. Only the form is known that .dockerignore has: nothing but."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*" and all(line[0] == "!" for line in lines[1:]), ".dockerignore has another form"
    for name in (line[1:] for line in lines[1:]):
        copy(ROOT / name, context / name)
    return context


def replay(root, steps, context, stages):
    root.mkdir()
    here = root
    for instruction, words in steps:
        if instruction == "WORKDIR":
            here = root / words.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            words = words.split()
            options = dict(word[2:].split("=") for word in words if word.startswith("--"))
            *sources, target = [word for word in words if not word.startswith("--")]
            base = stages[options["from"]] if "from" in options else context
            place = root / target.lstrip("/") if target.startswith("/") else here / target
            for source in sources:
                into_folder = target.endswith("/")
                copy(base / source.lstrip("/"), place / Path(source).name if into_folder else place)
        elif instruction == "RUN" and "apt-get" not in words:
            run(words, here)
    return root


def run(command, folder):
    print(f"$ {command}", flush=True)
    environment = {**os.environ, "GATEWAY_COMMIT": COMMIT}
    environment.pop("CARGO_TARGET_DIR", None)
    before = (folder / "target").exists()
    done = subprocess.run(["sh", "-ec", command], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3600)
    if done.returncode != 0:
        sys.exit(done.stdout)
    if "cargo build" in command:
        compiled = re.findall(r"Compiling (\S+)", done.stdout)
        print(f"  compiled {len(compiled)} crates", flush=True)
        if before and compiled != ["gateway"]:
            sys.exit(f"the layer of dependencies did not help: {compiled}")


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def show(name, root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in files:
        print(f"{name}: {path.stat().st_size:>12,} bytes  /{path.relative_to(root)}")
    print(f"{name}: {sum(path.stat().st_size for path in files):>12,} bytes beside the base")
    said = subprocess.run([root / "usr/local/bin/gateway", "version"], capture_output=True, text=True, check=True)
    told = re.search(r"^commit +(.*)$", said.stdout, re.MULTILINE)
    assert told and told[1] == COMMIT, f"GATEWAY_COMMIT is not the commit: {said.stdout}"


def start_with_few_libraries(program, folder):
    """In a file system with nothing but the program and its libraries."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [Path(path) for path in re.findall(r"(/\S+) \(0x", linked)]
    more = {path.name for path in libraries} - LIBRARIES
    assert not more, f"the base of gateway-minimal lacks {more}"
    for path in libraries:
        copy(path, folder / str(path).lstrip("/"))
    copy(program, folder / "gateway")
    command = ["unshare", "--user", "--map-root-user", f"--root={folder}", "/gateway"]
    said = subprocess.run([*command, "version"], capture_output=True, text=True, check=True).stdout
    print(f"gateway-minimal: starts with {len(libraries)} libraries: {said.split()[1]}")


if __name__ == "__main__":
    main()
