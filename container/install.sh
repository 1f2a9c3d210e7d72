#!/bin/sh
# Install one lock file, or the wheels of one folder, into the image's environment. Runs in the image, as root.
#
# Where packages come from is told by secrets, so that no address is left in the image: `index` is a shell file with
# PIP_* and UV_* settings, `certificates` a bundle of CAs. Bytecode goes by hash: it holds no time, and
# users who may not write it need no newer one.
set -eu
home=/opt/dynamo
[ ! -s /run/secrets/certificates ] || export SSL_CERT_FILE=/run/secrets/certificates PIP_CERT=/run/secrets/certificates
# shellcheck disable=SC1091
[ ! -s /run/secrets/index ] || . /run/secrets/index
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
export PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_NO_CACHE=1 UV_LINK_MODE=copy UV_HTTP_TIMEOUT=300

install() {
  "$home/bin/uv" pip install --quiet --python "$home/bin/python" --no-deps --only-binary :all: --compile-bytecode "$@"
}

case $1 in
  tools.txt)
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --no-cache-dir --no-compile --require-hashes --no-deps \
      --only-binary :all: --requirement "$home/locks/$1"
    "$home/bin/python" -m pip uninstall --quiet --yes setuptools 2>/dev/null
    find "$home" -name __pycache__ -prune -exec rm -rf {} +
    "$home/bin/python" -m compileall -qq --invalidation-mode unchecked-hash "$home"/lib/python3*/site-packages
    ;;
  *.txt)
    if [ -d /wheels ] && ls /wheels/*.whl >/dev/null 2>&1; then set -- "$1" --find-links /wheels; fi
    lock=$1; shift
    install --require-hashes --requirement "$home/locks/$lock" "$@"
    ;;
  *)
    install --no-index "$1"/*.whl
    ;;
esac
rm -rf /tmp/* /root/.cache /root/.local
