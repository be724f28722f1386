# shellcheck shell=bash
# Debian packages: installed where a command is missing, or only unpacked where installing would
# change more of the machine than we need (another suite's buildx, a static busybox).
# shellcheck source=script/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# command or file that proves the package, then the package
PACKAGES=(
  /usr/sbin/dockerd docker.io
  docker-registry docker-registry
  mmdebstrap mmdebstrap
  git git
  curl curl
  openssl openssl
  ip iproute2
  iptables iptables
  /usr/bin/python3 python3
  /usr/lib/python3/dist-packages/pip python3-pip
  jq jq
  cc gcc
  /usr/lib/x86_64-linux-gnu/libc.a libc6-dev
  /etc/ssl/certs/ca-certificates.crt ca-certificates
  systemd-analyze systemd
)

# missing_packages: names of the packages whose proof is not there, one a line.
missing_packages() {
  local i proof
  for ((i = 0; i < ${#PACKAGES[@]}; i += 2)); do
    proof=${PACKAGES[i]//x86_64/$(uname -m)}
    if [[ $proof == /* ]]; then [[ -e $proof ]]; else have "$proof"; fi || echo "${PACKAGES[i + 1]}"
  done
}

# ensure_packages: what the scripts need, by apt, only what is missing, no question asked.
ensure_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    note 'all there'
    return
  fi
  need_root
  have apt-get || die "these commands' packages are missing and there is no apt-get: ${missing[*]}" 'install them by hand'
  take_lock apt
  apt_update
  without_service_starts apt_get install --no-install-recommends "${missing[@]}"
  drop_lock apt
  note "installed ${missing[*]}"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 "$@"; }

# apt_update: only when the lists are older than an hour.
apt_update() {
  [[ -n $(find /var/lib/apt/lists -name '*_Packages*' -mmin -60 -print -quit 2>/dev/null) ]] || apt_get update
}

# without_service_starts COMMAND...: a package's service must not start while apt runs: without
# systemd that fails the install, and with it the registry would take a port. (start_dockerd starts.)
without_service_starts() {
  local policy=/usr/sbin/policy-rc.d ours=''
  if [[ ! -e $policy ]]; then
    ours=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    at_exit rm -f "$policy"
  fi
  "$@"
  [[ -z $ours ]] || rm -f "$policy"
}

# debian_mirror: the mirror this machine uses for its own suite; empty where it has none.
debian_mirror() {
  # shellcheck disable=SC2016 # apt's own format language
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
    grep -v security | head -n 1 || true
}

# fetch_deb SUITE NAME: prints the path of NAME's unpacked tree, from SUITE, without installing it
# and without adding SUITE to the machine. The cache keeps it.
fetch_deb() {
  local tree=$LONGSHORE_CACHE/deb/$1-$2 work mirror
  if [[ ! -d $tree ]]; then
    mirror=$(debian_mirror)
    [[ -n $mirror ]] || die "apt on this machine has no Debian mirror to take $2 from"
    work=$(mktemp -d)
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$LONGSHORE_CACHE/deb"
    chmod 755 "$work" # apt's own user reads here
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$work/sources"
    local apt=(apt-get -q -o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root
      -o Dir::State::lists="$work/lists" -o Dir::Cache="$work" -o Acquire::Languages=none)
    { "${apt[@]}" update && cd "$work" && "${apt[@]}" download "$2"; } >&2
    dpkg-deb -x "$work"/*.deb "$work/tree"
    mv -T "$work/tree" "$tree"
    cd "$LONGSHORE_ROOT"
    rm -rf "$work"
  fi
  printf '%s' "$tree"
}

# ensure_buildx: the CLI's build plugin. Debian 12 has none, so trixie's is unpacked, for these scripts alone.
ensure_buildx() {
  local tree
  if docker buildx version >/dev/null 2>&1; then
    note 'already there'
    return
  fi
  tree=$(fetch_deb trixie docker-buildx)
  mkdir -p "$DOCKER_CONFIG/cli-plugins"
  install -m 755 "$tree/usr/libexec/docker/cli-plugins/docker-buildx" "$DOCKER_CONFIG/cli-plugins/"
  docker buildx version
}
