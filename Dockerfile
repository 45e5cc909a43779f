# The daemon as one static program in an image without anything else: no shell, no libraries, no package manager.
#
#   docker build -t readiness-exporter:0.1.0 --build-arg REVISION="$(git rev-parse --short=12 HEAD)" .
#   docker run --rm -p 127.0.0.1:10980:10980 --read-only --tmpfs /tmp readiness-exporter:0.1.0 demo \
#     --web.listen-address 0.0.0.0:10980
#
# Without 127.0.0.1 everyone who reaches this machine reads its pages, /config among them: there is no password yet.
#
# The base is pinned by its tag. To pin it to the byte, write the digest that
#   docker buildx imagetools inspect rust:1.95.0-slim-bookworm
# prints behind it, as in rust:1.95.0-slim-bookworm@sha256:..., and let a bot renew both.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /build

# Static, with glibc: since 2.34 it resolves names by /etc/hosts and DNS without loading a library. `host-tuple` is the
# machine that builds, named so that the flag is for the program alone and not for build scripts.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_INCREMENTAL=0

# The dependencies are a layer of their own, which changes with Cargo.lock only: they are built for an empty program.
COPY Cargo.toml Cargo.lock ./
COPY src/build.rs src/
RUN touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --target host-tuple

# The program, with the runbooks of alerts/ built in. Copied files are older than the empty ones were: cargo must see
# that they are others.
COPY alerts/runbooks alerts/runbooks
COPY src src
ARG REVISION=unknown
RUN touch src/lib.rs src/main.rs \
    && READINESS_REVISION="$REVISION" cargo build --release --locked --target host-tuple

# All that the program finds beside it: roots of trust, time zones (names of backups may have local time), a user,
# how names are resolved, and a folder for the demo.
RUN mkdir -p root/etc/ssl/certs root/etc/readiness-exporter root/usr/bin root/usr/share root/tmp state \
    && cp /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/ \
    && cp -r /usr/share/zoneinfo root/usr/share/ \
    && echo 'readiness:x:65532:65532:readiness-exporter:/:/' > root/etc/passwd \
    && echo 'readiness:x:65532:' > root/etc/group \
    && echo 'hosts: files dns' > root/etc/nsswitch.conf \
    && chmod 1777 root/tmp \
    && cp target/*/release/readiness-exporter root/usr/bin/

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="readiness-exporter" \
      org.opencontainers.image.description="Keeps a production readiness checklist true and serves the verdicts to Prometheus" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /build/root /
# What must survive a restart, for whoever mounts a volume here and says --state.path /var/lib/readiness-exporter.
COPY --from=build --chown=65532:65532 /build/state /var/lib/readiness-exporter
# Watches SERVICE_URL until a configuration of your own is mounted over it.
COPY config/readiness.yaml /etc/readiness-exporter/readiness.yaml
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 10980
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/bin/readiness-exporter", "healthcheck"]
ENTRYPOINT ["/usr/bin/readiness-exporter"]
