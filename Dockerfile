# The gateway as an image. Put a configuration into /srv/gateway/conf/gateway.yaml; what has to last is
# in /srv/gateway/data:
#
#   docker build -t gateway .
#   docker run --init -p 8080:8080 -v ./conf:/srv/gateway/conf:ro -v gateway:/srv/gateway/data gateway
#
# --init: functions may leave orphans behind, and the first process of a container has to reap them.

FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake make gcc libc6-dev
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin gateway

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /srv/gateway gateway \
    && install -d -o gateway -g gateway /srv/gateway/data
COPY --from=build /src/target/release/gateway /usr/local/bin/gateway
USER gateway
WORKDIR /srv/gateway
VOLUME /srv/gateway/data
EXPOSE 8080 8082
# Inside a container the loopback address, the file's default, would be reachable by nobody.
ENTRYPOINT ["gateway"]
CMD ["run", "--listen", "0.0.0.0:8080", "--metrics", "0.0.0.0:8082"]
