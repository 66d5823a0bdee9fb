"""The crates of the release binary, as cargo knows them."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    return subprocess.run(command, cwd=ROOT, check=True, text=True, capture_output=True, **options).stdout


def host():
    """The target triple of this machine's compiler."""
    facts = dict(line.split(": ", 1) for line in run("rustc", "-vV").splitlines() if ": " in line)
    return facts["host"]


def linked(target):
    """Name and version of every crate whose code is in the binary: no macros, nothing that only builds."""
    tree = run(
        "cargo", "tree", "--locked", "--target", target, "--edges", "normal,no-proc-macro",
        "--prefix", "none", "--format", "{p}",
    )  # fmt: skip
    # NAME vVERSION, and for ourselves the folder.
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in crates}


def packages():
    """What the manifest of every crate says, by name and version."""
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    return {(package["name"], package["version"]): package for package in metadata["packages"]}
