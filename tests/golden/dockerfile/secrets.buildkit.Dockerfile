ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS base
USER 0:0

RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
      ffmpeg \
      libgomp1=12.2.0-14 \
      libsndfile1 \
 && rm -rf /var/lib/apt/lists/*

RUN --mount=type=secret,id=netrc --mount=type=secret,id=pip --mount=type=secret,id=token ldconfig

RUN --mount=type=secret,id=netrc --mount=type=secret,id=pip --mount=type=secret,id=token ["/bin/sh", "-c", "set -e\nadduser --system worker || true\n"]

FROM base AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN --mount=type=secret,id=netrc --mount=type=secret,id=pip --mount=type=secret,id=token --mount=type=cache,id=dynamo-pip,target=/root/.cache/pip \
    --mount=type=bind,source=env/python/requirements-linux-amd64.txt,target=/tmp/requirements.txt \
    NETRC=/run/secrets/netrc PIP_CONFIG_FILE=/run/secrets/pip python -m pip install --no-deps --require-hashes --no-compile \
      --target /app/packages --requirement /tmp/requirements.txt
COPY runtime/dynamo_runtime-0.1.0-py3-none-any.whl /tmp/
RUN python -m pip install --no-deps --no-index --no-compile --no-cache-dir \
      --target /app/runtime /tmp/dynamo_runtime-0.1.0-py3-none-any.whl
# Code in packages may be for other Pythons or for none, so what does not compile stays as it is. Tests are left out.
RUN mkdir -p /app/packages /app/runtime \
 && { python -m compileall -qq -j 0 --invalidation-mode unchecked-hash -x '/tests?/|^/app/packages/bin/' \
      /app/packages /app/runtime || true; }

FROM base AS application
COPY --from=packages /app/packages/ /app/packages/
COPY --from=packages /app/runtime/ /app/runtime/
COPY config/ /app/bento/
COPY src/ /app/src/

ENV HOME="/tmp" \
    PYTHONPATH="/app/src:/app/runtime:/app/packages" \
    PATH="/app/packages/bin:${PATH}"
LABEL dynamo.bento="hello_world:abc"
WORKDIR /app/src
EXPOSE 8000 9090
USER 10001:0
HEALTHCHECK --interval=15s --timeout=5s --start-period=30m --retries=3 \
  CMD ["python", "-I", "-S", "-c", "import os, sys, urllib.error, urllib.request\nask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open\nfor port in (os.environ.get(\"DYNAMO_SYSTEM_PORT\", \"9090\"), os.environ.get(\"DYNAMO_PORT\", \"8000\")):\n    try:\n        sys.exit(ask(f\"http://127.0.0.1:{port}/live\", timeout=2).status != 200)\n    except urllib.error.HTTPError as error:\n        sys.exit(f\"port {port} answers {error.code}\")\n    except OSError:\n        pass\nsys.exit(\"no port answers\")"]
ENTRYPOINT ["python", "-m", "dynamo.worker"]
