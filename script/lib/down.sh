# shellcheck shell=bash
# Takes away what these scripts made, and nothing else: by label, by pid, by path.
# shellcheck source=script/lib/dockerd.sh
source "$(dirname "${BASH_SOURCE[0]}")/dockerd.sh"
# shellcheck source=script/lib/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"
# shellcheck source=script/lib/bao.sh
source "$(dirname "${BASH_SOURCE[0]}")/bao.sh"
# shellcheck source=script/lib/images.sh
source "$(dirname "${BASH_SOURCE[0]}")/images.sh"
# shellcheck source=script/lib/test-images.sh
source "$(dirname "${BASH_SOURCE[0]}")/test-images.sh"
# shellcheck source=script/lib/client-images.sh
source "$(dirname "${BASH_SOURCE[0]}")/client-images.sh"

# Every container, network and volume of Longshore carries this label.
LONGSHORE_LABEL=${LONGSHORE_LABEL:-longshore.kind}

# remove_labelled LABEL: containers, then the networks and volumes they used.
remove_labelled() {
  local ids
  engine_answers || return 0
  mapfile -t ids < <(docker ps -aq --filter "label=$1")
  ((${#ids[@]} == 0)) || docker rm -fv "${ids[@]}"
  mapfile -t ids < <(docker network ls -q --filter "label=$1")
  ((${#ids[@]} == 0)) || docker network rm "${ids[@]}"
  mapfile -t ids < <(docker volume ls -q --filter "label=$1")
  ((${#ids[@]} == 0)) || docker volume rm -f "${ids[@]}"
}

# remove_registry_images: what was built for or pulled from our registry, by tag or by digest alone.
remove_registry_images() {
  local names
  engine_answers || return 0
  mapfile -t names < <(docker image ls --digests --format '{{.Repository}} {{.Tag}} {{.Digest}}' | awk -v prefix="$REGISTRY/" '
    index($1, prefix) == 1 { print $1 ($2 == "<none>" ? "@" $3 : ":" $2) }' | sort -u)
  ((${#names[@]} == 0)) || docker image rm -f "${names[@]}"
}

# remove_our_images: the images of the CI file, where these scripts brought them, and the test images.
remove_our_images() {
  engine_answers || return 0
  remove_brought_images
  remove_test_images
}

# stop_private_engines: all of them.
stop_private_engines() {
  local dir
  for dir in "$LONGSHORE_STATE"/engines/*/; do
    [[ ! -d $dir ]] || stop_private_dockerd "$(basename "$dir")"
  done
}

# take_down [--images]: everything, with --images the imported images too. The cache stays: it is a
# cache (rm -rf "$LONGSHORE_CACHE").
take_down() {
  step 'containers, networks, volumes' remove_labelled "$LONGSHORE_LABEL"
  step 'images of the registry' remove_registry_images
  [[ ${1:-} != --images ]] || step 'imported images' remove_our_images
  step 'further engines' stop_private_engines
  step 'OpenBao' stop_bao
  step 'registry' forget_registry
  step 'docker engine, if it is ours' stop_dockerd
  rm -rf --one-file-system "$LONGSHORE_STATE"
}
