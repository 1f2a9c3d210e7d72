#!/usr/bin/env bash
# The real parts that the integration tests need, on loopback and free ports: two registries, a Docker Engine, NATS, a base image.
#
#   bash tests/support/stack.sh up       install what is missing (root, apt), start what is not running, wait until it answers
#   bash tests/support/stack.sh env      print export lines: eval "$(bash tests/support/stack.sh env)"
#   bash tests/support/stack.sh status   what runs, and what was left out
#   bash tests/support/stack.sh down     stop what `up` started; data stays
#   bash tests/support/stack.sh purge    down, then delete the data
#
# Without root nothing is installed and there is no engine; the rest starts where its program is there.
# Settings: DYNAMO_STACK (the data folder), DYNAMO_STACK_STORAGE (the engine's storage driver),
# DYNAMO_STACK_NEWER=trixie (also an engine of that Debian release, unpacked below the data folder: DOCKER_HOST_NEWER).
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
support=$checkout/tests/support
python=python3
[ ! -x "$checkout/.venv/bin/python" ] || python=$checkout/.venv/bin/python
stack=${DYNAMO_STACK:-${TMPDIR:-/tmp}/dynamo-stack-$(printf %s "$checkout" | cksum | cut -d' ' -f1)}
user=tester password=not-a-secret
parts="nats dockerd-newer dockerd registry-tls registry"

say() { printf 'stack: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
left_out() { say "left out: $*"; printf '%s\n' "$*" >>"$stack/left-out"; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
is_root() { [ "$(id -u)" = 0 ]; }

# A process is its number and its start: a number alone may have been given to another one since.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() {
  local pid start
  [ -f "$stack/run/$1" ] && read -r pid start <"$stack/run/$1" || return 1
  [ -n "$start" ] && [ "$(born "$pid")" = "$start" ]
}
launch() {
  local name=$1; shift
  setsid "$@" >"$stack/log/$name" 2>&1 </dev/null 9>&- &
  sleep 0.02
  echo "$! $(born $!)" >"$stack/run/$name"
}
stop() {
  local pid start tries
  if alive "$1"; then
    read -r pid start <"$stack/run/$1"
    kill "$pid" 2>/dev/null || true
    for tries in $(seq 150); do alive "$1" || break; sleep 0.1; done
    ! alive "$1" || kill -9 "$pid" 2>/dev/null || true
    say "$1 stopped"
  fi
  rm -f "$stack/run/$1"
}
answers() { "$python" "$support/probe.py" "$@"; }
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port_of() { cat "$stack/port/$1"; }

# start NAME SECONDS FUNCTION URL [PROBE OPTION...]: FUNCTION launches it on $port; another port is tried when one was taken meanwhile.
start() {
  local name=$1 seconds=$2 begin=$3 url=$4 attempt; shift 4
  ! alive "$name" || return 0
  for attempt in 1 2 3; do
    port=$(free_port); echo "$port" >"$stack/port/$name"
    "$begin" "$attempt"
    if answers "${url//PORT/$port}" --seconds "$seconds" --pid "$(cut -d' ' -f1 "$stack/run/$name")" "$@"; then
      say "$name answers, pid $(cut -d' ' -f1 "$stack/run/$name")"
      return 0
    fi
    stop "$name"
  done
  tail -n 20 "$stack/log/$name" >&2
  fail "$name does not start; its last lines are above, all of them in $stack/log/$name"
}

# apt_install PACKAGE...: their own scripts must not start services on this machine, so a policy forbids it meanwhile.
apt_install() {
  local policy=/usr/sbin/policy-rc.d made=0 code=0
  say "installing $*"
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; made=1; fi
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 install "$@"; } >"$stack/log/apt" 2>&1 9>&- || code=1
  [ $made = 0 ] || rm -f $policy
  [ $code = 0 ] || { tail -n 20 "$stack/log/apt" >&2; fail "apt cannot install $*"; }
}
install_programs() {
  local wanted=() pair
  for pair in docker-registry:docker-registry htpasswd:apache2-utils openssl:openssl dockerd:docker.io \
    containerd:containerd runc:runc busybox:busybox-static skopeo:skopeo umoci:umoci podman:podman buildah:buildah mmdebstrap:mmdebstrap \
    qemu-x86_64:qemu-user; do
    have "${pair%%:*}" || wanted+=("${pair#*:}")
  done
  if ! is_root || ! have apt-get; then
    [ ${#wanted[@]} = 0 ] || say "not root, or no apt: not installing ${wanted[*]}"
    return 0
  fi
  [ ${#wanted[@]} = 0 ] || apt_install "${wanted[@]}"
  # Newer Debian has the command in a package of its own.
  if ! have docker && apt-cache show docker-cli >/dev/null 2>&1; then apt_install docker-cli; fi
  if ! docker buildx version >/dev/null 2>&1 && apt-cache show docker-buildx >/dev/null 2>&1; then apt_install docker-buildx; fi
}

registry_settings() { # NAME [EXTRA LINES]
  mkdir -p "$stack/data/$1"
  cat >"$stack/$1.yml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$stack/data/$1"}, delete: {enabled: true}}
http:
  addr: 127.0.0.1:$port
  secret: only-for-tests
${2:-}
YAML
}
begin_registry() { registry_settings registry; launch registry docker-registry serve "$stack/registry.yml"; }
begin_registry_tls() {
  local certificates=$stack/certificates
  if ! openssl x509 -checkend 86400 -noout -in "$certificates/ca.crt" >/dev/null 2>&1; then
    mkdir -p "$certificates"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=127.0.0.1 \
      -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout "$certificates/key" -out "$certificates/ca.crt" 2>/dev/null
  fi
  htpasswd -Bbn "$user" "$password" >"$stack/htpasswd"
  registry_settings registry-tls "  tls: {certificate: \"$certificates/ca.crt\", key: \"$certificates/key\"}
auth: {htpasswd: {realm: tests, path: \"$stack/htpasswd\"}}"
  launch registry-tls docker-registry serve "$stack/registry-tls.yml"
}
begin_nats() { launch nats "$nats" -a 127.0.0.1 -p "$(free_port | tee "$stack/port/nats-clients")" -m "$port" -js -sd "$stack/data/nats"; }
begin_dockerd() { # no bridge and no rules: the machine's own network stays as it is, containers get `--network host` or none
  local driver=${DYNAMO_STACK_STORAGE:-overlay2}
  [ "$1" != 3 ] || [ -n "${DYNAMO_STACK_STORAGE:-}" ] || driver=vfs
  rm -f "$stack/docker.sock" "$stack/dockerd.pid"
  launch dockerd dockerd --host "unix://$stack/docker.sock" --pidfile "$stack/dockerd.pid" \
    --data-root "$stack/data/dockerd-$driver" --exec-root "$stack/exec" --storage-driver "$driver" \
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false
}

begin_dockerd_newer() {
  rm -f "$stack/newer.sock" "$stack/newer.pid"
  launch dockerd-newer env PATH="$stack/newer/usr/sbin:$stack/newer/usr/bin:$PATH" dockerd --host "unix://$stack/newer.sock" \
    --pidfile "$stack/newer.pid" --data-root "$stack/data/newer" --exec-root "$stack/exec-newer" --storage-driver overlay2 \
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false
}
# Its programs run on this release's libraries; lists and packages stay below the data folder, apt is left as it is.
unpack_newer() { # RELEASE PACKAGE...
  local release=$1 apt=$stack/apt mirror; shift
  [ ! -e "$stack/newer/.$release" ] || return 0
  mirror=$( { sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources; sed -n 's/^deb  *\(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list; } 2>/dev/null | head -n 1) || true
  [ -n "$mirror" ] || fail "apt has no Debian mirror"
  say "unpacking $* of $release"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$stack/newer"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$apt/sources.list"
  local options=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
  {
    apt-get -qq "${options[@]}" update && cd "$apt/cache" && apt-get -qq "${options[@]}" download "${@/%//$release}" &&
      for package in ./*.deb; do dpkg-deb -x "$package" "$stack/newer"; done
  } >"$stack/log/apt-newer" 2>&1 9>&- || { tail -n 20 "$stack/log/apt-newer" >&2; fail "the packages of $release cannot be unpacked"; }
  cd "$checkout"
  touch "$stack/newer/.$release"
}

# Limits that this process may give, host network, and no daemon: what podman does is gone with its data folder.
podman_settings() {
  local folder=$stack/podman files processes
  mkdir -p "$folder"
  files=$(ulimit -Hn); [ "$files" != unlimited ] || files=65536
  processes=$(ulimit -Hu); if [ "$processes" = unlimited ] || [ "$processes" -gt 32768 ]; then processes=32768; fi
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$folder" "$folder" >"$folder/storage.conf"
  printf 'unqualified-search-registries = []\n[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$(port_of registry)" >"$folder/registries.conf"
  cat >"$folder/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$folder/tmp"
CONF
}

base_image() {
  local name
  name=base:py$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
  rm -rf "$stack/base.new"
  if [ ! -f "$stack/base/index.json" ] || [ "$checkout/container/make_base.py" -nt "$stack/base/index.json" ]; then
    "$python" "$checkout/container/make_base.py" --output "$stack/base.new" >"$stack/log/base" 2>&1 || { tail -n 20 "$stack/log/base" >&2; fail "the base image cannot be made"; }
    rm -rf "$stack/base"; mv "$stack/base.new" "$stack/base"; touch "$stack/base/index.json"
  fi
  printf %s "$name" >"$stack/base-name"
  ! alive registry || "$python" "$support/push_layout.py" "$stack/base" "127.0.0.1:$(port_of registry)" "$name" >&2
}

write_environment() {
  mkdir -p "$stack/docker-config"
  [ -s "$stack/docker-config/config.json" ] || echo '{}' >"$stack/docker-config/config.json"
  {
    echo "export DYNAMO_STACK='$stack'"
    if alive registry; then
      echo "export REGISTRY='127.0.0.1:$(port_of registry)'"
      [ ! -f "$stack/base-name" ] || echo "export TEST_BASE_IMAGE='127.0.0.1:$(port_of registry)/$(cat "$stack/base-name")'"
    fi
    if alive registry-tls; then
      echo "export REGISTRY_TLS='127.0.0.1:$(port_of registry-tls)' REGISTRY_TLS_CA='$stack/certificates/ca.crt'"
      echo "export REGISTRY_USER='$user' REGISTRY_PASS='$password'"
    fi
    ! alive nats || echo "export NATS_URL='nats://127.0.0.1:$(port_of nats-clients)'"
    ! alive dockerd || echo "export DOCKER_HOST='unix://$stack/docker.sock' DOCKER_CONFIG='$stack/docker-config'"
    ! alive dockerd-newer || echo "export DOCKER_HOST_NEWER='unix://$stack/newer.sock'"
    [ ! -f "$stack/podman/containers.conf" ] || echo "export CONTAINERS_CONF='$stack/podman/containers.conf'" \
      "CONTAINERS_STORAGE_CONF='$stack/podman/storage.conf' CONTAINERS_REGISTRIES_CONF='$stack/podman/registries.conf'"
    [ ! -f "$stack/base-name" ] || echo "export TEST_BASE_LAYOUT='$stack/base'"
  } >"$stack/env.new"
  mv "$stack/env.new" "$stack/env"
}

up() {
  umask 022
  mkdir -p -m 711 "$stack"
  [ -O "$stack" ] || fail "$stack belongs to someone else; set DYNAMO_STACK to a folder of your own"
  [ ${#stack} -le 60 ] || fail "$stack is too long for unix sockets; set DYNAMO_STACK to a shorter folder"
  mkdir -p "$stack/run" "$stack/log" "$stack/port" "$stack/data"
  exec 9>"$stack/lock"; flock 9
  : >"$stack/left-out"
  install_programs
  nats=$(PATH=$checkout/.venv/bin:$PATH command -v nats-server || true)
  if have docker-registry; then
    start registry 20 begin_registry "http://127.0.0.1:PORT/v2/"
    if have htpasswd && have openssl; then
      start registry-tls 20 begin_registry_tls "https://127.0.0.1:PORT/v2/" --accept 401
    else
      left_out "registry with TLS and passwords: openssl or htpasswd (apache2-utils) is missing"
    fi
  else
    left_out "registries: docker-registry is missing, and installing it needs root"
  fi
  if [ -n "$nats" ]; then
    start nats 20 begin_nats "http://127.0.0.1:PORT/healthz?js-enabled-only=true"
  else
    left_out "NATS: nats-server is missing (it comes with the development requirements)"
  fi
  if is_root && have dockerd; then
    start dockerd 60 begin_dockerd "http://engine/_ping" --socket "$stack/docker.sock"
    if [ -n "${DYNAMO_STACK_NEWER:-}" ]; then
      unpack_newer "$DYNAMO_STACK_NEWER" docker.io docker-cli docker-buildx
      start dockerd-newer 60 begin_dockerd_newer "http://engine/_ping" --socket "$stack/newer.sock"
    fi
  else
    left_out "Docker Engine: needs root and docker.io"
  fi
  if is_root && have podman && have runc && have docker-registry; then
    podman_settings
  else
    rm -f "$stack/podman/containers.conf"
    left_out "podman: needs root, podman, runc and a registry"
  fi
  if [ -f "$checkout/container/make_base.py" ]; then base_image; else left_out "base image: container/make_base.py is missing"; fi
  write_environment
}

status() {
  local name
  for name in $parts; do
    if alive "$name"; then echo "$name: pid $(cut -d' ' -f1 "$stack/run/$name")"; else echo "$name: not running"; fi
  done
  [ ! -s "$stack/left-out" ] || sed 's/^/left out: /' "$stack/left-out"
}

down() {
  [ -d "$stack" ] || return 0
  [ -O "$stack" ] || fail "$stack belongs to someone else"
  local name mount
  for name in $parts; do stop "$name"; done
  rm -f "$stack/env"
  # An engine leaves mounts behind when it is stopped with containers in it.
  awk -v top="$stack/" 'index($2, top) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount" || true; done
}

case ${1:-} in
  up) up; status ;;
  env) [ -f "$stack/env" ] || fail "nothing runs; start it with \`make stack-up\`"; cat "$stack/env" ;;
  status) status ;;
  down) down ;;
  purge) down; rm -rf "$stack" ;;
  *) fail "say one of: up, env, status, down, purge" ;;
esac
