#!/bin/sh
# What the base's own distribution adds: `python` (where there is none), `compiler`. Runs in the image, as root.
set -eu
export PYTHONDONTWRITEBYTECODE=1

installed() {
  case $1 in
    python) python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && [ -s /etc/ssl/certs/ca-certificates.crt ] ;;
    compiler) command -v cc >/dev/null && [ -f "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ;;
  esac
}
packages() {
  case $1 in
    python) echo ca-certificates python3 python3-venv ;;
    compiler) echo gcc g++ libc6-dev libnuma1 python3-dev ;;
  esac
}

if ! installed "$1"; then
  apt-get -qq update
  # shellcheck disable=SC2046
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $(packages "$1") >/dev/null
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log \
    /var/cache/ldconfig/aux-cache /usr/share/man/* /usr/share/info/*
fi
installed "$1" || { echo "the base has no $1 that is new enough: Python 3.11 or later is needed" >&2; exit 1; }
