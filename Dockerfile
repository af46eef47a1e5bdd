# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.13

# Builds a virtual environment; neither pip's cache nor the sources reach the image.
FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /src
RUN python -m venv /opt/balance
COPY pyproject.toml README.md LICENSE ./
COPY balance ./balance
RUN /opt/balance/bin/pip install --no-cache-dir --disable-pip-version-check ".[redis,compression,geo,otel]"

FROM python:${PYTHON_VERSION}-slim
ARG VERSION=dev
ARG GIT_COMMIT=unknown
ARG BUILD_TIME=unknown
LABEL org.opencontainers.image.title="balance" \
      org.opencontainers.image.description="A TCP/HTTP proxy and load balancer in pure Python" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_COMMIT}" \
      org.opencontainers.image.created="${BUILD_TIME}"

# A number, so that Kubernetes' runAsNonRoot can tell that it is not root.
RUN groupadd --gid 10001 balance && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent balance
COPY --from=build /opt/balance /opt/balance
ENV PATH="/opt/balance/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM

# Liveness, by Python because the image has no curl. An unhealthy answer (503) makes urlopen raise, which is status 1.
# A configuration that moves the admin API sets BALANCE_HEALTHCHECK_URL with it.
ENV BALANCE_HEALTHCHECK_URL=http://127.0.0.1:9090/healthz
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['BALANCE_HEALTHCHECK_URL'], timeout=2)"]

ENTRYPOINT ["balance", "serve"]
CMD ["--config", "/etc/balance/config.yaml"]
