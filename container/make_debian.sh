#!/usr/bin/env bash
# Make a Debian base image on this machine: a minimal system with Python, loaded into the local Docker Engine.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: container/make_debian.sh [OPTION]... NAME[:TAG]

Needs root, mmdebstrap and a Debian mirror that apt knows. The same packages give the same files.

  --suite NAME         the Debian release (default: bookworm)
  --cache FOLDER       keep the file system there, and use it again (by its list of packages)
  --architecture ARCH  amd64 or arm64 (default: this machine's)
  --output FILE.tar    write the file system there instead of loading an image

Example: container/make_debian.sh --cache ~/.cache/dynamo-build debian-python:bookworm
TEXT
}

fail() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2; exit 1; }

wrong() { printf 'error: %s\n  hint: See container/make_debian.sh --help.\n' "$1" >&2; exit 2; }

suite=bookworm cache='' architecture='' output='' name=''
packages=python3,python3-venv,ca-certificates
while [ $# -gt 0 ]; do
  case $1 in
    --suite|--cache|--architecture|--output)
      if [ $# -lt 2 ] || [ -z "$2" ]; then wrong "$1 needs a value"; fi ;;
  esac
  case $1 in
    --suite) suite=$2; shift 2 ;;
    --cache) cache=$2; shift 2 ;;
    --architecture) architecture=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    -h|--help) usage; exit 0 ;;
    -*) wrong "no such option: $1" ;;
    *) name=$1; shift ;;
  esac
done
[ -n "$name$output" ] || wrong "an image name is missing"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing" "Install it by apt."
[ "$(id -u)" = 0 ] || fail "only root can unpack a Debian system"
architecture=${architecture:-$(dpkg --print-architecture)}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
recipe=(
  --variant=apt --include="$packages" --architectures="$architecture"
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"'
  # Manuals and translations are of no use in a container; licences stay.
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*'
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*'
  --dpkgopt='path-include=/usr/share/doc/*/copyright'
  # Bytecode and logs hold the time of the installation; bytecode by hash does not, and no user may write it later.
  --customize-hook='find "$1/usr" -name __pycache__ -prune -exec rm -rf {} +'
  --customize-hook='chroot "$1" python3 -m compileall -qq --invalidation-mode unchecked-hash /usr/lib/python3 $(cd "$1" && echo /usr/lib/python3.[0-9]*)'
  --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/aux-cache "$1/etc/hostname" "$1/etc/resolv.conf"'
)
key=$(printf '%s\n' "$suite" "${recipe[@]}" | sha256sum | cut -c1-16)
made=${cache:+$cache/debian-$suite-$architecture-$key.tar}
made=${made:-$folder/debian.tar}
if [ ! -f "$made" ]; then
  mkdir -p "$(dirname "$made")"
  printf 'making a Debian %s system (%s); about half a minute\n' "$suite" "$packages" >&2
  SOURCE_DATE_EPOCH=315532800 TMPDIR=$folder mmdebstrap "${recipe[@]}" "$suite" "$made.new.tar" 2>"$folder/log" \
    || { tail -n 20 "$folder/log" >&2; rm -f "$made.new.tar"; fail "the system was not made"; }
  mv "$made.new.tar" "$made"
fi
[ -z "$output" ] || cp "$made" "$output"
platform=(); [ "$architecture" = "$(dpkg --print-architecture)" ] || platform=(--platform "linux/$architecture")
[ -z "$name" ] || "${DOCKER:-docker}" import "${platform[@]}" \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'CMD ["bash"]' "$made" "$name"
