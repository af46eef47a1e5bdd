# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.13

# Builds a virtual environment: the packages of the lock, by their hashes, and Balance. Wheels alone, so without a compiler, but for
# Balance itself where it is asked for: `--build-arg BALANCE_COMPILE=require`. pip, its cache, the compiler and the sources don't
# reach the image.
FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /src
COPY deployments/docker/build.lock deployments/docker/requirements.lock ./
RUN python -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement build.lock \
    && python -m venv --without-pip /opt/balance \
    && /build/bin/pip --python /opt/balance/bin/python install \
        --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock
ARG BALANCE_COMPILE=0
COPY deployments/docker/compile.lock ./
# hadolint ignore=DL3008
RUN if [ "${BALANCE_COMPILE:-0}" != 0 ]; then \
        apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* \
        && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement compile.lock; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY cmd/build ./cmd/build
COPY balance ./balance
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/balance/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:${PYTHON_VERSION}-slim
COPY --from=build /opt/balance /opt/balance
# Whoever the container runs as may read it, also where the sources were checked out with a umask of 077.
COPY --chmod=0644 deployments/docker/default.yaml /etc/balance/config.yaml
ENV PATH="/opt/balance/bin:${PATH}" \
    BALANCE_CONFIG=/etc/balance/config.yaml \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# Last, as they differ in every build: what is above stays in the cache.
ARG VERSION=dev
ARG GIT_COMMIT=unknown
ARG BUILD_TIME=unknown
ENV BALANCE_BUILD_VERSION=${VERSION} \
    BALANCE_GIT_COMMIT=${GIT_COMMIT} \
    BALANCE_BUILD_TIME=${BUILD_TIME}
LABEL org.opencontainers.image.title="balance" \
      org.opencontainers.image.description="A TCP/HTTP proxy and load balancer in Python" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}" \
      org.opencontainers.image.created="${BUILD_TIME}"

# A number, so that Kubernetes' runAsNonRoot can tell that it is not root. Any other does as well: nothing is written.
USER 10001:10001
EXPOSE 8080 9090 9091
STOPSIGNAL SIGTERM

# It finds where to ask in the configuration, and gives up by itself before Docker kills it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["balance", "healthcheck", "--timeout", "3"]

# `docker run IMAGE validate FILE`, `docker run IMAGE serve --listen :8080 --backend app:8000`.
ENTRYPOINT ["balance"]
CMD ["serve"]
