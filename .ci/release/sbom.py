"""What is in a release, as CycloneDX JSON: one file for the usual binary, one for the static one.

Usage: .ci/release/sbom.py FOLDER   (make sbom sets everything up)

cargo-cyclonedx lists the crates with their licences and checksums. What it does not know is added: which
crates leave no code in the binary, the scripts of the portal, and the libraries of Rust and of C. Then
the result is held against the schema. Two runs on one commit write the same.
"""

import base64
import json
import os
import re
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import crates

# Where cargo-cyclonedx writes, whatever it is told.
WRITTEN = crates.ROOT / "gateway_bin.cdx.json"
VENDOR = crates.ROOT / "ui/vendor/README.md"
LOCK = crates.ROOT / "tests/ui/package-lock.json"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, libraries in [("gateway", [rust()]), ("gateway-static", [rust(), libc()])]:
        bom = made(libraries)
        text = json.dumps(bom, indent=2, ensure_ascii=False) + "\n"
        error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
        if error:
            sys.exit(f"{name}: not what CycloneDX 1.5 asks for: {error}")
        path = folder / f"{name}.cdx.json"
        path.write_text(text)
        print(f"{path}: {told(bom)}")


def made(libraries):
    target = crates.host()
    linked = crates.linked(target)
    bom = of_crates(target)
    program = bom["metadata"]["component"]
    program["purl"] = f"pkg:generic/gateway@{program['version']}"
    program.pop("components", None)
    for component in bom["components"]:
        if (component["name"], component["version"]) not in linked:
            component["scope"] = "excluded"
    absent = linked - {(part["name"], part["version"]) for part in bom["components"]}
    if absent != {("gateway", program["version"])}:
        sys.exit(f"in the binary, but not in the list: {sorted(absent)}")
    added = scripts() + libraries
    bom["components"] += added
    for component in bom["components"]:
        if not component.get("licenses"):
            sys.exit(f"{component['name']} has no licence")
    edges = next(edges for edges in bom["dependencies"] if edges["ref"] == program["bom-ref"])
    edges["dependsOn"] += [component["bom-ref"] for component in added]
    bom["dependencies"] += [{"ref": component["bom-ref"]} for component in added]
    return bom


def of_crates(target):
    # The time of the commit, so that a second run writes the same.
    time = crates.run("git", "-c", "log.showSignature=false", "log", "-1", "--format=%ct").strip()
    crates.run(
        "cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5",
        "--describe", "binaries", "--no-build-deps", "--target", target,
        env={"SOURCE_DATE_EPOCH": time, **os.environ},
    )  # fmt: skip
    text = WRITTEN.read_text()
    WRITTEN.unlink()
    # It calls the project by the folder it lies in.
    bom = json.loads(re.sub(r'"path\+file://[^"#]*#', '"', text))
    bom.pop("serialNumber", None)
    return bom


def scripts():
    """What ui/vendor/README.md lists, with the checksums of the packages that it was made of."""
    locked = json.loads(LOCK.read_text())["packages"]
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \| ([\w.-]+) \|", VENDOR.read_text(), re.MULTILINE)
    if not rows:
        sys.exit(f"no packages in {VENDOR}")
    found = []
    for name, version, licence in rows:
        package = locked[f"node_modules/{name}"]
        algorithm, digest = package["integrity"].split("-", 1)
        if (package["version"], algorithm) != (version, "sha512"):
            sys.exit(f"{name} {version} in {VENDOR} is not what {LOCK} has")
        hashes = [{"alg": "SHA-512", "content": base64.b64decode(digest).hex()}]
        found.append(library(f"pkg:npm/{name}@{version}", licence) | {"hashes": hashes})
    return found


def rust():
    version = crates.run("rustc", "--version").split()[1]
    return library(f"pkg:generic/rust-std@{version}", "MIT OR Apache-2.0")


def libc():
    version = crates.run("getconf", "GNU_LIBC_VERSION").split()[1]
    return library(f"pkg:generic/glibc@{version}", "LGPL-2.1-or-later")


def library(purl, licence):
    name, version = purl.rpartition("/")[2].split("@")
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "scope": "required",
        "licenses": [{"expression": licence}],
        "purl": purl,
    }


def told(bom):
    excluded = sum(component["scope"] == "excluded" for component in bom["components"])
    return f"{len(bom['components']) - excluded} components, {excluded} that leave no code in it"


main()
