"""Checks the files that deploy the gateway: Dockerfile, conf/compose, conf/kubernetes, conf/systemd. None of them
can be tried without an engine, a cluster or a service manager, so each is held against the description of
its format, and against the others where they have to agree.

Usage: tests/deploy/check.py [FOLDER]   (make check-deploy sets everything up)

The configurations of the gateway in them are checked by a test of the gateway itself (tests/it/start.rs).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
COMPOSE = ROOT / "conf/compose"
KUBERNETES = ROOT / "conf/kubernetes"
UNIT = ROOT / "conf/systemd/gateway.service"
# The newest whose description is at hand, and the oldest that has all that is used.
VERSIONS = ["1.27", "1.37"]
# Described by its operator and by no Kubernetes, so nothing more than its YAML is looked at.
FOREIGN = {"monitoring.coreos.com/v1"}
# In tenths: what systemd-analyze may find exposed. What sandboxes need is given up for them.
EXPOSURE = 30
# In seconds, after the drain: PROVIDER_END in src/server/end.rs, and what is left for the queue and the disk.
FUNCTIONS_END = 60
QUEUE_END = 10
# With any of these no sandbox can be made, or functions cannot work; the unit says why.
STAYS_OUT = ["ProtectKernelTunables", "ProtectKernelLogs", "ProtectHostname", "ProtectControlGroups",
             "MemoryDenyWriteExecute", "PrivateNetwork", "IPAddressDeny"]

problems = []


def main():
    tools = Path(sys.executable).parent
    run("Dockerfile", tools / "hadolint", "--no-color", "Dockerfile")
    dockerignore()
    run("compose.yaml", tools / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "-q",
        "--traceback-mode", "short", COMPOSE / "compose.yaml")
    compose()
    prometheus_and_alertmanager()
    kubernetes()
    systemd()
    drains()
    for problem in problems:
        print(problem, file=sys.stderr)
    checks = "Dockerfile, compose, Kubernetes, systemd"
    print(f"{checks}: {len(problems)} problems" if problems else f"{checks}: good")
    sys.exit(1 if problems else 0)


def expect(holds, problem):
    if not holds:
        problems.append(problem)


def run(what, *command, folder=ROOT):
    done = subprocess.run([str(word) for word in command], cwd=folder, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    expect(done.returncode == 0, f"{what}: {command[0]} says\n{done.stdout}")
    return done.stdout


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def dockerignore():
    """What the Dockerfile copies from the project is there and not ignored, and nothing else is let in."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    copied = {word for words in copies for word in words}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    expect("*" in ignore, ".dockerignore: does not begin with nothing")
    expect(copied == let_in, f".dockerignore lets in {sorted(let_in)}, the Dockerfile copies {sorted(copied)}")
    for name in copied:
        expect((ROOT / name).exists(), f"Dockerfile: {name} is not there")
    for source in sorted((ROOT / "src").rglob("*.rs")):
        for name in included(source):
            there = any(Path(name).is_relative_to(part) for part in copied)
            expect(there, f"{source.relative_to(ROOT)} includes {name}, which the Dockerfile does not copy")


def included(source):
    """What a source makes part of the program from other files. Files of tests, and what stands behind the tests'
    mark in others, are not part of it."""
    if "tests" in source.parts or source.name == "tests.rs":
        return set()
    text = re.split(r"^#\[cfg\(test\)\]\n(?:#\[.*\]\n)*mod \w+ \{", source.read_text(), flags=re.MULTILINE)[0]
    names = re.findall(r'include(?:_str|_bytes)?!\(\s*"([^"]+)"', text)
    return {os.path.relpath(source.parent / name, ROOT) for name in names}


def compose():
    """Files that are mounted are there, images have a version, and nothing is published but on loopback."""
    [file] = documents(COMPOSE / "compose.yaml")
    for name, service in file["services"].items():
        tag = service["image"].partition(":")[2]
        expect("build" in service or re.match(r"v?\d+\.\d+\.\d+", tag), f"compose: {name} has no exact version")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"compose: {name} publishes {port}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (COMPOSE / source).exists() if source.startswith(".") else source in file["volumes"]
            expect(known, f"compose: {name} mounts {source}, which is not there")
        has_check = "healthcheck" in service or "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
        expect(has_check, f"compose: {name} has no health check")
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        expect({"cpus", "memory"} <= set(limits), f"compose: {name} has no limits")
        for secret in service.get("secrets", []):
            expect(secret in file["secrets"], f"compose: {name} wants the secret {secret}")
    with tempfile.TemporaryDirectory() as folder:
        script = shutil.copy(COMPOSE / "secrets", folder)
        run("conf/compose/secrets", script)
        for secret in file["secrets"].values():
            made = Path(folder) / secret["file"]
            expect(made.exists() and made.read_text(), f"conf/compose/secrets does not make {secret['file']}")


def prometheus_and_alertmanager():
    """As they are mounted: the rules are those of conf/prometheus."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copy(COMPOSE / "prometheus.yml", folder)
        shutil.copytree(ROOT / "conf/prometheus", folder / "rules")
        said = run("prometheus.yml", "promtool", "check", "config", folder / "prometheus.yml")
        expect("rules found" in said, f"conf/compose/prometheus.yml finds no rules: {said}")
    run("alertmanager.yml", "amtool", "check-config", COMPOSE / "alertmanager.yml")
    [own], [other] = (documents(path) for path in
                      [COMPOSE / "alertmanager.yml", ROOT / "conf/alertmanager/alertmanager.yml"])
    for key in ["route", "inhibit_rules"]:
        expect(own.get(key) == other.get(key), f"conf/compose/alertmanager.yml: {key} is not as in conf/alertmanager")
    # Dashboards and alerts know a gateway by its job.
    jobs = [[job["job_name"] for job in documents(path)[0]["scrape_configs"]] for path in
            [COMPOSE / "prometheus.yml", ROOT / "conf/prometheus/prometheus.yml"]]
    expect(jobs[0] == jobs[1], f"conf/compose/prometheus.yml has other jobs than conf/prometheus: {jobs}")


def kubernetes():
    """Each document fits the API, and what it names is there."""
    [kustomization] = documents(KUBERNETES / "kustomization.yaml")
    listed = set(kustomization["resources"])
    text = (KUBERNETES / "kustomization.yaml").read_text()
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    for name in sorted(files):
        expect(re.search(rf"^ +(# )?- {re.escape(name)}$", text, re.MULTILINE), f"kustomization.yaml leaves {name} out")
    expect(listed <= files, f"kustomization.yaml lists {sorted(listed - files)}, which are not there")
    every = [(name, document) for name in sorted(files) for document in documents(KUBERNETES / name)]
    for name, document in every:
        for version in VERSIONS if document["apiVersion"] not in FOREIGN else []:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                problems.append(f"{name} does not fit Kubernetes {version}: {error}")

    def the(kind):
        [found] = [document for _, document in every if document["kind"] == kind]
        return found

    pod = the("Deployment")["spec"]["template"]
    [container] = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    for name, document in every:
        spec = document.get("spec", {})
        selectors = [spec.get("selector"), spec.get("podSelector")]
        if document["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"}:
            for selector in filter(None, selectors):
                wanted = selector.get("matchLabels", selector)
                expect(wanted.items() <= labels.items(), f"{name} selects {wanted}, pods have {labels}")
    generators = kustomization["configMapGenerator"]
    named = {("configMap", generator["name"]) for generator in generators}
    named |= {("secret", the("Secret")["metadata"]["name"])}
    for volume in pod["spec"]["volumes"]:
        for kind, key in [("configMap", "name"), ("secret", "secretName")]:
            if kind in volume:
                expect((kind, volume[kind][key]) in named, f"deployment.yaml mounts the {kind} {volume[kind][key]}")
    expect(pod["spec"]["serviceAccountName"] == the("ServiceAccount")["metadata"]["name"], "whose service account?")
    for generator in generators:
        for file in generator["files"]:
            expect((KUBERNETES / file).is_file(), f"kustomization.yaml makes a ConfigMap of {file}")
    images = {image["name"] for image in kustomization["images"]}
    expect(container["image"] in images, f"kustomization.yaml does not say where {container['image']} is")
    # Commands in the documents are for the namespace that the files are put into.
    commands = [(ROOT / "docs/deploying.md").read_text(), (KUBERNETES / "secret.yaml").read_text()]
    spaces = set(re.findall(r"kubectl (?:create namespace|-n) (\S+)", "\n".join(commands)))
    expect(spaces == {kustomization["namespace"]}, f"commands for the namespaces {spaces}")
    expect("secret.yaml" not in listed, "kustomization.yaml: secret.yaml would overwrite the password")
    # Rules know a gateway by its job, and look back as far as several scrapes.
    monitor = the("ServiceMonitor")["spec"]
    [prometheus] = documents(ROOT / "conf/prometheus/prometheus.yml")
    for _, service in every:
        wanted = monitor["selector"]["matchLabels"].items()
        if service["kind"] == "Service" and wanted <= service["metadata"]["labels"].items():
            job = service["metadata"]["labels"].get(monitor.get("jobLabel"))
            expect(job == prometheus["scrape_configs"][0]["job_name"], f"servicemonitor.yaml: the job is {job}")
    interval = prometheus["global"]["scrape_interval"]
    expect({endpoint["interval"] for endpoint in monitor["endpoints"]} == {interval}, "servicemonitor.yaml: interval")
    expect("annotations" not in pod["metadata"], "deployment.yaml: pods that are read twice count twice")
    [config] = documents(KUBERNETES / "config/gateway.yaml")
    expect(config["scale"]["autoscaler"]["enabled"] is False, "each of several gateways would scale by its own calls")
    ports = {port["name"] for port in container["ports"]}
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"]:
        expect(container[probe]["httpGet"]["port"] in ports, f"deployment.yaml: {probe} asks no port")
    for mount in container["volumeMounts"]:
        expect("subPath" not in mount, "deployment.yaml: a file that is mounted alone never changes")


def systemd():
    """What systemd itself says of the unit: not a word."""
    text = UNIT.read_text()
    with tempfile.TemporaryDirectory() as folder:
        # It looks whether the programs are there, and the gateway is not installed here.
        unit = Path(folder) / UNIT.name
        unit.write_text(text.replace("/usr/local/bin/gateway", shutil.which("true")))
        said = run("gateway.service", "systemd-analyze", "verify", "--man=no", unit)
        own = [line for line in said.splitlines() if "gateway.service" in line or str(unit) in line]
        expect(not own, "gateway.service: systemd-analyze verify says\n" + "\n".join(own))
        run("gateway.service", "systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    for setting in STAYS_OUT:
        expect(not re.search(rf"^{setting}=", text, re.MULTILINE), f"gateway.service: {setting}= has to stay out")
        expect(re.search(rf"^#.*\b{setting}=", text, re.MULTILINE), f"gateway.service: does not say why no {setting}=")
    lines = (UNIT.parent / "gateway.sysusers.conf").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("u ")]
    expect(users == re.findall(r"^User=(.*)$", text, re.MULTILINE), "gateway.sysusers.conf has another user")


def drains():
    """Whoever kills the gateway has as much patience as docs/operating.md asks for."""
    unit = UNIT.read_text()
    for config, patience, where in [
        (COMPOSE / "gateway/gateway.yaml",
         documents(COMPOSE / "compose.yaml")[0]["services"]["gateway"]["stop_grace_period"], "compose.yaml"),
        (KUBERNETES / "config/gateway.yaml",
         documents(KUBERNETES / "deployment.yaml")[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
         "deployment.yaml"),
        (UNIT.parent / "gateway.yaml",
         re.search(r"^TimeoutStopSec=(.*)$", unit, re.MULTILINE)[1], "gateway.service"),
    ]:
        gateway = documents(config)[0]
        drain = gateway["server"]["drain"]
        longest = seconds(drain["delay"]) + seconds(drain["timeout"]) + QUEUE_END
        if gateway.get("provider", {}).get("kind") != "remote":
            longest += FUNCTIONS_END
        expect(longest <= seconds(patience), f"{where}: {patience} is less than the end of {longest} s")
    [patience] = re.findall(r"--stop-timeout (\d+)", (ROOT / "docs/deploying.md").read_text())
    sample = documents(ROOT / "conf/gateway.yaml")[0].get("server", {}).get("drain", {})
    longest = seconds(sample.get("delay", 0)) + seconds(sample.get("timeout", 30)) + FUNCTIONS_END + QUEUE_END
    expect(longest <= int(patience), f"deploying.md: --stop-timeout {patience} is less than the end of {longest} s")


def seconds(text):
    return int(str(text).removesuffix("s"))


if __name__ == "__main__":
    main()
