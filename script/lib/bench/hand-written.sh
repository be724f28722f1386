#!/usr/bin/env bash
# The driver everybody starts with, to compare against: run a container, exec each stage, remove it.
set -euo pipefail
name=hand-written-$CUSTOM_ENV_CI_JOB_ID
case $1 in
  config) printf '{"builds_dir": "/builds", "cache_dir": "/cache"}\n' ;;
  prepare) docker run -d -i --name "$name" --entrypoint /bin/sh "$CUSTOM_ENV_CI_JOB_IMAGE" >/dev/null ;;
  run) docker exec -i "$name" /bin/sh <"$2" || exit "$BUILD_FAILURE_EXIT_CODE" ;;
  cleanup) docker rm -f "$name" >/dev/null ;;
esac
