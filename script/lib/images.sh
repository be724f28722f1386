# shellcheck shell=bash
# The images the CI file names: pulled where they can be, else stand-ins under those very names from
# one mmdebstrap of trixie. The root file systems are cached, so only the first run on a machine is slow.
# shellcheck source=script/lib/packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
# shellcheck source=script/lib/dockerd.sh
source "$(dirname "${BASH_SOURCE[0]}")/dockerd.sh"

IMAGE_PYTHON=python:3.13-slim
IMAGE_DOCKER=docker:28-cli
# the helper: git, git-lfs and CA certificates; the setting helper_image names it
IMAGE_HELPER=longshore-git:latest
export IMAGE_PYTHON IMAGE_DOCKER IMAGE_HELPER

STAND_IN_SUITE=trixie
STAND_IN_BASE=python3,python3-venv,python3-pip,ca-certificates,curl
STAND_IN_TOOLS=(git git-lfs docker-cli docker-buildx)

# ensure_images: the three names exist afterwards, whatever it takes.
ensure_images() {
  local missing=()
  mapfile -t missing < <(missing_images "$IMAGE_PYTHON" "$IMAGE_DOCKER" "$IMAGE_HELPER")
  if ((${#missing[@]} == 0)); then
    note 'all there'
    return
  fi
  take_lock images
  # so that taking down removes these and not what another demo, a test or a person brought
  printf '%s\n' "${missing[@]}" >>"$LONGSHORE_STATE/run/images"
  pull_images
  if [[ -z $(missing_images "$IMAGE_PYTHON" "$IMAGE_DOCKER") ]]; then
    build_helper_image
    note 'pulled, helper built'
  else
    import_stand_ins
    note "stand-ins for ${missing[*]}"
  fi
  drop_lock images
}

# missing_images NAME...: those the engine does not have.
missing_images() {
  local name
  for name in "$@"; do
    docker image inspect "$name" >/dev/null 2>&1 || echo "$name"
  done
}

# pull_images: an answer "no" is final; no answer within the time is taken for one.
pull_images() {
  local name
  for name in $(missing_images "$IMAGE_PYTHON" "$IMAGE_DOCKER"); do
    timeout "${LONGSHORE_PULL_SECONDS:-120}" docker pull -q "$name" || return 0
  done
}

# build_helper_image: on machines that can pull, from the Python image, which is a Debian.
build_helper_image() {
  [[ -n $(missing_images "$IMAGE_HELPER") ]] || return 0
  DOCKER_BUILDKIT=0 docker build -t "$IMAGE_HELPER" - <<EOS
FROM $IMAGE_PYTHON
RUN apt-get update && apt-get install -y --no-install-recommends git git-lfs ca-certificates && rm -rf /var/lib/apt/lists/*
LABEL longshore.stand-in=helper
EOS
}

# import_stand_ins: the Python name gets the base alone, so that what is built from it stays small;
# the others get git and the Docker CLI as a layer above it.
import_stand_ins() {
  local base changes=(--change 'LABEL longshore.stand-in=base' --change 'CMD ["/bin/bash"]') name
  ensure_rootfs
  base=$(rootfs_path)
  if [[ -n $(host_authorities) ]]; then
    for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE; do
      changes+=(--change "ENV $name=/etc/ssl/certs/ca-certificates.crt")
    done
  fi
  if [[ -n $(missing_images "$IMAGE_PYTHON") ]]; then
    docker import "${changes[@]}" "$base/base.tar" "$IMAGE_PYTHON"
  fi
  [[ -n $(missing_images "$IMAGE_DOCKER" "$IMAGE_HELPER") ]] || return 0
  docker import "${changes[@]}" "$base/base.tar" longshore-stand-in:base
  tar -C "$base" -cf - tools.tar Dockerfile | DOCKER_BUILDKIT=0 docker build -q -t longshore-stand-in:tools -
  for name in $(missing_images "$IMAGE_DOCKER" "$IMAGE_HELPER"); do docker tag longshore-stand-in:tools "$name"; done
  docker image rm longshore-stand-in:tools longshore-stand-in:base
}

# remove_brought_images: takes away what ensure_images brought, pulled or made, and nothing else.
remove_brought_images() {
  local images
  [[ -s $LONGSHORE_STATE/run/images ]] && engine_answers || return 0
  mapfile -t images < <(sort -u "$LONGSHORE_STATE/run/images")
  docker image rm -f "${images[@]}"
  rm "$LONGSHORE_STATE/run/images"
}

# host_authorities: certificate authorities this machine's owner added; builds need them as it does.
host_authorities() { find -L /usr/local/share/ca-certificates -name '*.crt' -type f 2>/dev/null | sort || true; }

# rootfs_path: where the cache keeps the root file systems of this very recipe.
rootfs_path() {
  local authority hash
  hash=$({
    declare -f bootstrap_rootfs add_authorities add_tools
    echo "$STAND_IN_SUITE $STAND_IN_BASE ${STAND_IN_TOOLS[*]} $(uname -m)"
    while read -r authority; do cat "$authority"; done < <(host_authorities)
  } | sha256sum)
  printf '%s/rootfs/%s' "$LONGSHORE_CACHE" "${hash:0:16}"
}

# ensure_rootfs: base.tar and tools.tar, made once per recipe.
ensure_rootfs() {
  local path work
  path=$(rootfs_path)
  [[ ! -d $path ]] || return 0
  mkdir -p "$LONGSHORE_CACHE/rootfs"
  work=$(mktemp -d "$LONGSHORE_CACHE/rootfs/making.XXXXXX")
  at_exit remove_tree "$work"
  bootstrap_rootfs "$work/root" "$work/out"
  mv -T "$work/out" "$path"
}

# remove_tree DIR: never follows a mount that a half-finished bootstrap left behind.
remove_tree() { rm -rf --one-file-system "$1"; }

# bootstrap_rootfs ROOT OUT: one mmdebstrap; the base is packed before the tools are added, and of
# those only what is new since (by change time, as packages bring old modification times).
bootstrap_rootfs() {
  local root=$1 out=$2 mirror
  mirror=$(debian_mirror)
  mkdir "$out"
  mmdebstrap --mode=root --variant=apt --include="$STAND_IN_BASE" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "$STAND_IN_SUITE" "$root" ${mirror:+"$mirror"}
  add_authorities "$root"
  ln -sf python3 "$root/usr/bin/python"
  rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
  pack "$root" "$out/base.tar"
  touch "$out/Dockerfile"
  sleep 0.1
  add_tools "$root"
  pack "$root" "$out/tools.tar" --newer="$out/Dockerfile"
  printf '%s\n' 'FROM longshore-stand-in:base' 'ADD tools.tar /' 'LABEL longshore.stand-in=tools' >"$out/Dockerfile"
}

# pack ROOT ARCHIVE [TAR_OPTION...]: without apt's lists, which `apt-get update` brings anew.
pack() {
  local root=$1 archive=$2
  shift 2
  tar -C "$root" --numeric-owner --one-file-system --exclude='./var/lib/apt/lists/*' --exclude='./var/cache/apt/*' \
    --exclude='./dev/*' --exclude='./etc/resolv.conf' "$@" -cf "$archive" .
}

# add_authorities ROOT: the machine's own authorities, so that pip and apt inside work as outside.
add_authorities() {
  local authority
  while read -r authority; do
    install -m 644 "$authority" "$1/usr/local/share/ca-certificates/"
  done < <(host_authorities)
  chroot "$1" update-ca-certificates
}

# add_tools ROOT: git and the Docker CLI; the network is the machine's own.
add_tools() {
  cp /etc/resolv.conf "$1/etc/resolv.conf"
  chroot "$1" env DEBIAN_FRONTEND=noninteractive sh -c "apt-get -q update && apt-get -qy install ${STAND_IN_TOOLS[*]}"
  rm -f "$1/etc/resolv.conf"
}
