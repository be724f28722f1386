# shellcheck shell=bash
# What script/bench and script/soak stand on: a release build and settings of their own.

BENCH_SETTINGS=$LONGSHORE_STATE/bench/longshore.toml
BENCH_SLOTS=longshore-bench-slot-

# set_up_bench: told on standard error, so that standard output holds the figures alone.
set_up_bench() {
  step 'packages' ensure_packages
  step 'docker engine' start_dockerd
  step 'test images' ensure_test_images
  step 'images' ensure_images
  step 'rust toolchain' ensure_rust
  step 'longshore, release build' build_release
  step 'settings' write_bench_settings
  step 'OpenBao program' ensure_bao
  step 'OpenBao' start_bao
  step 'OpenBao, AppRole and secrets' write_bench_secrets
}

write_bench_settings() {
  state_dir bench bench/state bench/run
  private_file "$BENCH_SETTINGS" <<EOS
state_dir = "$LONGSHORE_STATE/bench/state"
run_dir = "$LONGSHORE_STATE/bench/run"

[docker]
host = "$DOCKER_HOST"
helper_image = "$IMAGE_HELPER"
pull_policy = ["if-not-present"]
slot_prefix = "$BENCH_SLOTS"
EOS
}

# write_bench_secrets: five of them, and where the benchmark finds the server. Tokens are kept on a tmpfs only.
write_bench_secrets() {
  local number
  bao_setup_approle
  for number in 1 2 3 4 5; do
    BENCH_VALUE="value of secret $number" bao_write_secret kv "longshore/bench$number" value=BENCH_VALUE
  done
  export LONGSHORE_BENCH_VAULT=$BAO_ADDRESS LONGSHORE_BENCH_VAULT_CA=$BAO_CA
  export LONGSHORE_BENCH_ROLE_ID_FILE=$BAO_ROLE_ID_FILE LONGSHORE_BENCH_SECRET_ID_FILE=$BAO_SECRET_ID_FILE
  LONGSHORE_BENCH_RUN_DIR=$(mktemp -d /dev/shm/longshore-bench.XXXXXX)
  export LONGSHORE_BENCH_RUN_DIR
  at_exit rm -rf "$LONGSHORE_BENCH_RUN_DIR"
}

# remove_bench_slots: networks that idle jobs' slots leave.
remove_bench_slots() {
  local networks
  mapfile -t networks < <(docker network ls -q --filter "name=^$BENCH_SLOTS")
  ((${#networks[@]} == 0)) || docker network rm "${networks[@]}" >/dev/null
}
