#!/bin/sh
# Writes the hash-pinned .txt beside each .in. Needs uv. Pass --upgrade to take newer versions.
# 3.12 is the oldest Python among the images the jobs run in; the application itself runs on 3.13.
set -eu
cd "$(dirname "$0")/.."
lock() {
  uv --no-python-downloads pip compile --quiet --universal --python-version 3.12 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command requirements/lock.sh "$@"
}
lock "$@" requirements.in --output-file requirements.txt
for name in lint unit audit load; do
  # Pins of the application hold for the tools too: one version of a package in every environment.
  lock "$@" --constraint requirements.txt "requirements/$name.in" --output-file "requirements/$name.txt"
done
