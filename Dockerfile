# The gateway as an image, in two kinds:
#
#   make image            gateway: on Debian, for functions that are programs of the image
#   make image-minimal    gateway-minimal: no shell and no program but the gateway, which is all it needs
#                         in front of a faas-provider and for functions at addresses
#
#   docker run -p 127.0.0.1:8080:8080 -v ./conf:/srv/gateway/conf:ro -v gateway:/srv/gateway/data gateway
#
# It reads /srv/gateway/conf/gateway.yaml; what has to last is in /srv/gateway/data. docs/deploying.md tells
# the rest. Functions of your own: FROM gateway, and add their programs.

FROM rust:1.95-slim-bookworm AS build
# Debian replaces a version with its next fix, so a pinned one could soon not be built any more.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake make gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The dependencies are a layer of their own, built for a program that does nothing: it lasts until
# Cargo.lock changes. The manifest names a bench, which therefore has to be there.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches && touch src/lib.rs benches/micro.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin gateway
# A folder that a new volume becomes; an image without a program cannot make one itself.
RUN mkdir data
COPY build.rs ./
COPY src src
COPY ui ui
# Its comments are part of the reference that `gateway schema --markdown` prints.
COPY conf/gateway.yaml conf/gateway.yaml
# There is no repository to ask in here. What was copied may be older than what was just built from nothing.
ARG GATEWAY_COMMIT=unknown
RUN touch src/lib.rs src/main.rs && cargo build --release --locked --bin gateway

# What both kinds have in common is said twice, as an image has one base.
FROM gcr.io/distroless/cc-debian12:nonroot AS gateway-minimal
ARG GATEWAY_COMMIT=unknown
ARG GATEWAY_VERSION=unknown
LABEL org.opencontainers.image.title="gateway-minimal" \
    org.opencontainers.image.description="An open function gateway, in front of a faas-provider" \
    org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
    org.opencontainers.image.version="${GATEWAY_VERSION}" \
    org.opencontainers.image.revision="${GATEWAY_COMMIT}" \
    org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/gateway/
COPY --from=build /src/target/release/gateway /usr/local/bin/gateway
WORKDIR /srv/gateway
COPY --from=build --chown=10001:10001 /src/data /srv/gateway/data
USER 10001:10001
VOLUME /srv/gateway/data
EXPOSE 8080 8082
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["gateway", "health", "--metrics", "0.0.0.0:8082"]
ENTRYPOINT ["gateway"]
CMD ["run", "--listen", "0.0.0.0:8080", "--metrics", "0.0.0.0:8082"]

FROM debian:bookworm-slim AS gateway
ARG GATEWAY_COMMIT=unknown
ARG GATEWAY_VERSION=unknown
LABEL org.opencontainers.image.title="gateway" \
    org.opencontainers.image.description="An open function gateway that also runs the functions" \
    org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
    org.opencontainers.image.version="${GATEWAY_VERSION}" \
    org.opencontainers.image.revision="${GATEWAY_COMMIT}" \
    org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
# Callbacks and function stores at https addresses need root certificates.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/gateway/
COPY --from=build /src/target/release/gateway /usr/local/bin/gateway
WORKDIR /srv/gateway
COPY --from=build --chown=10001:10001 /src/data /srv/gateway/data
# A number, so that Kubernetes sees that it is not root. Functions are this user, too.
USER 10001:10001
VOLUME /srv/gateway/data
EXPOSE 8080 8082
STOPSIGNAL SIGTERM
# The address is named, or a configuration file with a mistake would make a gateway that runs look ill.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["gateway", "health", "--metrics", "0.0.0.0:8082"]
ENTRYPOINT ["gateway"]
# Inside a container the loopback address, which the sample file names, would be reachable by nobody.
CMD ["run", "--listen", "0.0.0.0:8080", "--metrics", "0.0.0.0:8082"]
