#!/usr/bin/env bash
# Build the base image of service graphs ($DYNAMO_IMAGE), label it with what it provides, try it, and push it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$here")

usage() {
  cat <<'TEXT'
usage: container/build.sh --base REF [OPTION]...

  --base REF           what to build on, by digest (NAME@sha256:...), or an image of the local engine:
                       a CUDA runtime image for --variant cuda; container/make_debian.sh makes a plain Debian
  --framework NAME     vllm or none (default: vllm)
  --variant NAME       cuda or cpu (default: cuda)
  --platform OS/ARCH   linux/amd64 or linux/arm64 (default: this machine's); several, with commas, need --push
                       and buildx, and give one index
  --tag NAME[:TAG]     name of the image (repeatable; default: dynamo-FRAMEWORK-VARIANT:VERSION)
  --cache-from REF     take layers from that image or cache (repeatable)
  --cache-to REF       leave layers there; `inline` keeps them in the image itself
  --wheels FOLDER      wheels that no index has, such as CPU builds of torch
  --network MODE       network of the build: host, none or the engine's default
  --push               push every tag once the image has been tried
  --no-cache           build every layer anew
  --no-smoke           do not try the image
  --dry-run            show the commands, and stop
  -h, --help           show this

Packages come from the index that pip and uv are set up for (PIP_*, UV_*, pip's configuration); its address and the
certificates (SSL_CERT_FILE) are given to the build as secrets and are not in the image.
PYTHON and DOCKER name other programs than the ones found.

Examples:
  container/build.sh --base REGISTRY/cuda@sha256:... --tag REGISTRY/dynamo-vllm:1 --push
  container/make_debian.sh debian-python && container/build.sh --base debian-python --framework none --variant cpu
TEXT
}
fail() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2; exit "${3:-1}"; }
wrong() { fail "$1" "See container/build.sh --help." 2; }

base='' framework=vllm variant=cuda platforms='' network='' wheels='' cache_to=''
push=0 dry=0 smoke=1 no_cache=0 tags=() cache_from=()
while [ $# -gt 0 ]; do
  case $1 in
    --base|--framework|--variant|--platform|--tag|--cache-from|--cache-to|--wheels|--network)
      if [ $# -lt 2 ] || [ -z "$2" ]; then wrong "$1 needs a value"; fi ;;
  esac
  case $1 in
    --base) base=$2; shift ;;
    --framework) framework=$2; shift ;;
    --variant) variant=$2; shift ;;
    --platform) platforms=$2; shift ;;
    --tag) tags+=("$2"); shift ;;
    --cache-from) cache_from+=("$2"); shift ;;
    --cache-to) cache_to=$2; shift ;;
    --wheels) wheels=$2; shift ;;
    --network) network=$2; shift ;;
    --push) push=1 ;;
    --no-cache) no_cache=1 ;;
    --no-smoke) smoke=0 ;;
    --dry-run) dry=1 ;;
    -h|--help) usage; exit 0 ;;
    *) wrong "no such option: $1" ;;
  esac
  shift
done
[ -n "$base" ] || wrong "--base is missing"
case $framework in vllm|none) ;; *) wrong "no such framework: $framework" ;; esac
case $variant in cuda|cpu) ;; *) wrong "no such variant: $variant" ;; esac
case $(uname -m) in x86_64) native=linux/amd64 ;; aarch64) native=linux/arm64 ;; *) native=linux/$(uname -m) ;; esac
IFS=, read -r -a platforms <<<"${platforms:-$native}"
for platform in "${platforms[@]}"; do
  case $platform in linux/amd64|linux/arm64) ;; *) wrong "no such platform: $platform" ;; esac
done
[ -z "$wheels" ] || [ -d "$wheels" ] || wrong "no such folder: $wheels"
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$checkout/runtime/dynamo/__init__.py")
[ ${#tags[@]} -gt 0 ] || tags=("dynamo-$framework-$variant:$version")

# The plug-in is what current clients build with; the ones before 23 hold BuildKit themselves.
client=() buildx=0
while read -r program; do
  if "$program" buildx version >/dev/null 2>&1; then client=("$program"); buildx=1; break; fi
  major=$("$program" version --format '{{.Client.Version}}' 2>/dev/null | cut -d. -f1 || true)
  if [ "${major:-99}" -lt 23 ] 2>/dev/null; then client=("$program"); break; fi
done < <(if [ -n "${DOCKER:-}" ]; then command -v "$DOCKER"; else type -ap docker; fi)
if [ ${#client[@]} = 0 ]; then
  [ $dry = 1 ] || fail "no Docker client that has BuildKit was found" "Install the buildx plug-in (docker-buildx), or name another client with DOCKER."
  client=(docker) buildx=1
fi
build=("${client[0]}" build); [ $buildx = 0 ] || build=("${client[0]}" buildx build --load)
if [ ${#platforms[@]} -gt 1 ] && { [ $buildx = 0 ] || [ $push = 0 ]; }; then
  fail "several platforms in one build need buildx and --push" "Build one platform at a time." 2
fi
case $cache_to in
  '') ;;
  inline) cache_to='type=inline' ;;
  *=*) ;;
  *) cache_to="type=registry,ref=$cache_to,mode=max" ;;
esac
if [ -n "$cache_to" ] && [ $buildx = 0 ] && [ "$cache_to" != type=inline ]; then
  fail "this Docker client cannot write a cache of its own" "Give --cache-to inline, or install the buildx plug-in." 2
fi

case $base in
  *@sha256:*) digest=${base##*@} ;;
  *) digest=$("${client[0]}" image inspect --format '{{.Id}}' "$base" 2>/dev/null || true)
     [ -n "$digest" ] || [ $dry = 1 ] || fail "the base \`$base\` has no digest, and the local engine does not have it" \
       "Name it by digest (NAME@sha256:...), or pull it first." 2 ;;
esac

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
context=$folder/context secrets=$folder/secrets
python=${PYTHON:-}
for candidate in "$checkout/.venv/bin/python" python3; do
  [ -n "$python" ] || ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=$candidate
done
[ -n "$python" ] || fail "no Python 3.11 or later was found" "Name one with PYTHON."

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
shown() { local word; for word in "$@"; do case $word in *[!A-Za-z0-9_./:=,@+-]*|'') quoted "$word" ;; *) printf %s "$word" ;; esac; printf ' '; done | sed "s#$folder#FOLDER#g; s/ \$//"; echo; }
run() { if [ $dry = 1 ]; then shown "$@"; else "$@"; fi; }

# What is reached by a path of this machine cannot be reached from the build, so only addresses are passed on.
index_settings() {
  local name value
  for name in $(compgen -e); do
    case $name in
      PIP_INDEX_URL|PIP_EXTRA_INDEX_URL|PIP_TRUSTED_HOST|UV_DEFAULT_INDEX|UV_INDEX|UV_INDEX_URL|UV_EXTRA_INDEX_URL|UV_INDEX_STRATEGY|UV_INDEX_*_USERNAME|UV_INDEX_*_PASSWORD)
        case ${!name} in *file:*) ;; *) printf 'export %s=%s\n' "$name" "$(quoted "${!name}")" ;; esac ;;
    esac
  done
  value=$("$python" -m pip config get global.index-url 2>/dev/null || true)
  case $value in
    http*) [ -n "${PIP_INDEX_URL:-}" ] || printf 'export PIP_INDEX_URL=%s\n' "$(quoted "$value")"
           [ -n "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] || printf 'export UV_DEFAULT_INDEX=%s\n' "$(quoted "$value")" ;;
  esac
}

if [ $dry = 0 ]; then
  mkdir -p "$context/runtime" "$context/wheels" "$secrets"
  cp -R "$here/Dockerfile" "$here/prepare.sh" "$here/install.sh" "$here/describe.py" "$here/locks" "$context/"
  PYTHONPATH=$checkout:$checkout/runtime PYTHONDONTWRITEBYTECODE=1 "$python" -c \
    'import pathlib, sys; from dynamo_build.packages import runtime_wheel; runtime_wheel.write_runtime_wheel(pathlib.Path(sys.argv[1]))' "$context/runtime"
  [ -z "$wheels" ] || cp -l "$wheels"/*.whl "$context/wheels/" 2>/dev/null || cp "$wheels"/*.whl "$context/wheels/"
  # Layers are kept by what is in the files; stamps and modes of this machine must not count.
  find "$context" -type d -exec chmod 755 {} + -o -type f ! -path "$context/wheels/*" -exec chmod 644 {} +
  # The CAs that this machine trusts, its company's own with them.
  certificates=/dev/null
  for file in "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -s "$file" ]; then certificates=$file; break; fi
  done
  (umask 077; index_settings >"$secrets/index"; cat "$certificates" >"$secrets/certificates")
fi

for platform in "${platforms[@]}"; do
  names=("${tags[@]}"); [ ${#platforms[@]} = 1 ] || names=("${tags[@]/%/-${platform#*/}}")
  options=(--file "$context/Dockerfile" --platform "$platform" --build-arg "BASE=$base"
    --build-arg "FRAMEWORK=$framework" --build-arg "VARIANT=$variant"
    --secret "id=index,src=$secrets/index" --secret "id=certificates,src=$secrets/certificates")
  [ -z "$network" ] || options+=(--network "$network")
  for source in "${cache_from[@]}"; do options+=(--cache-from "$source"); done
  case $cache_to in
    '') ;;
    type=inline) if [ $buildx = 1 ]; then options+=(--cache-to type=inline); else options+=(--build-arg BUILDKIT_INLINE_CACHE=1); fi ;;
    *) options+=(--cache-to "$cache_to") ;;
  esac
  fresh=(); [ $no_cache = 0 ] || fresh=(--no-cache)
  described=("${build[@]}"); [ $buildx = 0 ] || described=("${client[0]}" buildx build)
  DOCKER_BUILDKIT=1 run "${described[@]}" "${options[@]}" "${fresh[@]}" --target description \
    --output "type=local,dest=$folder/$platform" "$context"
  labels=(--label "org.opencontainers.image.title=dynamo-$framework-$variant" --label "org.opencontainers.image.version=$version"
    --label "org.opencontainers.image.base.digest=${digest:-unknown}")
  if [ $dry = 0 ]; then
    while IFS= read -r line; do labels+=(--label "$line"); done < <("$python" -c \
      'import json, sys; [print(f"{name}={value}") for name, value in sorted(json.load(open(sys.argv[1])).items())]' "$folder/$platform/labels")
  else
    labels+=(--label 'dynamo.python=...' --label 'dynamo.platform=...' --label 'dynamo.packages=...')
  fi
  named=(); for name in "${names[@]}"; do named+=(--tag "$name"); done
  DOCKER_BUILDKIT=1 run "${build[@]}" "${options[@]}" "${labels[@]}" "${named[@]}" --target image "$context"
  if [ $smoke = 1 ] && [ "$platform" = "$native" ]; then
    run "${client[0]}" run --rm --interactive --network none --read-only --tmpfs /tmp:exec --user 20457:0 --cap-drop ALL \
      --env "EXPECTED_LABELS=$([ $dry = 1 ] || cat "$folder/$platform/labels")" "${names[0]}" python - <"$here/smoke.py"
  fi
  if [ $push = 1 ]; then for name in "${names[@]}"; do run "${client[0]}" push "$name"; done; fi
done
if [ ${#platforms[@]} -gt 1 ]; then
  for name in "${tags[@]}"; do
    parts=(); for platform in "${platforms[@]}"; do parts+=("$name-${platform#*/}"); done
    run "${client[0]}" buildx imagetools create --tag "$name" "${parts[@]}"
  done
fi
[ $dry = 1 ] || printf '%s\n' "${tags[@]}"
