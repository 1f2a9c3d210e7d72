ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS base
USER 0:0

FROM base AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
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
WORKDIR /app/src
USER 10001:0
HEALTHCHECK --interval=15s --timeout=5s --start-period=30m --retries=3 \
  CMD ["python", "-I", "-S", "-c", "import os, sys, urllib.error, urllib.request\nask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open\nfor port in (os.environ.get(\"DYNAMO_SYSTEM_PORT\", \"9090\"), os.environ.get(\"DYNAMO_PORT\", \"8000\")):\n    try:\n        sys.exit(ask(f\"http://127.0.0.1:{port}/live\", timeout=2).status != 200)\n    except urllib.error.HTTPError as error:\n        sys.exit(f\"port {port} answers {error.code}\")\n    except OSError:\n        pass\nsys.exit(\"no port answers\")"]
ENTRYPOINT ["python", "-m", "dynamo.worker"]
