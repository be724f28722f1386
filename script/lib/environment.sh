# shellcheck shell=bash
# The whole environment in one go, for script/demo, script/test and script/test-env.
# shellcheck source=script/lib/down.sh
source "$(dirname "${BASH_SOURCE[0]}")/down.sh"
# shellcheck source=script/lib/rust.sh
source "$(dirname "${BASH_SOURCE[0]}")/rust.sh"

# bring_up: everything the demo and the tests need from outside the project.
bring_up() {
  step 'packages' ensure_packages
  step 'docker engine' start_dockerd
  step 'docker buildx' ensure_buildx
  step 'registry' start_registry
  step 'registry login' registry_login
  step 'OpenBao program' ensure_bao
  step 'OpenBao' start_bao
  step 'OpenBao AppRole and policy' bao_setup_approle
  step 'images' ensure_images
}

# print_environment: where everything is, as lines a shell can read. Paths of secrets, never secrets.
print_environment() {
  local name
  for name in DOCKER_HOST DOCKER_CONFIG REGISTRY REGISTRY_USER REGISTRY_DIR HOST_ADDRESS BAO_ADDRESS BAO_CA BAO_DIR \
    BAO_ROLE_ID_FILE BAO_SECRET_ID_FILE BAO_AUDIT IMAGE_PYTHON IMAGE_DOCKER IMAGE_HELPER LONGSHORE_STATE; do
    printf 'export LONGSHORE_ENV_%s=%q\n' "$name" "${!name}"
  done
}
