"""Property tests of the management API: every operation of /system/openapi.json, with thousands of
generated requests, against a gateway that runs. None may answer 5xx, or a status, a header or a body
that the document does not have.

Usage: tests/api/run.py GATEWAY   (make test-api sets everything up)
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20190724
PATIENCE = 20  # seconds until the gateway serves
CONFIG = """
version: 1
server: { listen: "127.0.0.1:0", metrics: "127.0.0.1:0" }
provider: { state_dir: STATE, namespaces: [openfaas-fn, prod] }
functions:
  declared: { process: cat }
  failing: { process: "false", retry: { attempts: 1 } }
access_log: { format: off }
"""


def main():
    gateway = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        config = folder / "gateway.yaml"
        config.write_text(CONFIG.replace("STATE", str(folder / "state")))
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([gateway, "--config", config], stderr=log, stdout=log)
        try:
            api = wait_for_address(folder / "log")
            password = (folder / "state/auth/basic-auth-password").read_text().strip()
            document = folder / "openapi.json"
            fetch(api, password, document)
            validate(document)
            prepare(api, password)
            sys.exit(run(api, password, document))
        finally:
            process.terminate()
            process.wait(PATIENCE)
            errors = [line for line in (folder / "log").read_text().splitlines() if "panicked" in line]
            assert not errors, errors


def wait_for_address(log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = re.search(r"^ *API +(http://\S+)", log.read_text(), re.MULTILINE)
        if found:
            return found.group(1)
        time.sleep(0.05)
    sys.exit(f"the gateway does not start:\n{log.read_text()}")


def send(api, password, method, path, body=None, headers=()):
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    request = urllib.request.Request(api + path, method=method)
    for name, value in [("Authorization", f"Basic {token}"), *headers]:
        request.add_header(name, value)
    if body is not None:
        request.data = json.dumps(body).encode()
    return urllib.request.urlopen(request, timeout=PATIENCE).read()


def fetch(api, password, document):
    document.write_bytes(send(api, password, "GET", "/system/openapi.json"))


def validate(document):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(json.loads(document.read_text())).validate()
    print("the document is valid OpenAPI 3.1")


def prepare(api, password):
    """What hooks.py sends some of the requests to, so that they find something."""
    send(api, password, "POST", "/system/namespace/", {"name": "known"})
    send(api, password, "POST", "/system/secrets", {"name": "known", "value": "hush"})
    function = {"service": "known", "image": "i", "envProcess": "cat", "secrets": ["known"]}
    send(api, password, "POST", "/system/functions", function)
    # A dead letter, and a call that was made.
    call = [("X-Call-Id", "known")]
    send(api, password, "POST", "/async-function/failing", {}, call)
    send(api, password, "POST", "/async-function/declared", {})


def run(api, password, document):
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(document),
        "--url", api, "--auth", f"admin:{password}", "--seed", str(SEED),
        "--max-examples", os.environ.get("EXAMPLES", "60"), "--request-timeout", "15",
        # Events never end; what the stream says is tested in tests/it/system/events.rs.
        "--exclude-path", "/system/events",
        "--phases", "examples,coverage,fuzzing",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_headers_conformance,response_schema_conformance,unsupported_method,"
        "allow_header_conformance",
        "--continue-on-failure", "--no-color", "--warnings", "off",
    ]
    environment = dict(os.environ, SCHEMATHESIS_HOOKS="hooks", PYTHONPATH=str(HERE))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(command, env=environment, cwd=document.parent).returncode


if __name__ == "__main__":
    main()
