# shellcheck shell=bash
# What every script of Longshore shares: where things lie, how a step is told, how a script fails.
# Sourced, never run. Sets `-euo pipefail` and owns the EXIT trap (use `at_exit`).

[[ -z ${LONGSHORE_COMMON_LOADED:-} ]] || return 0
LONGSHORE_COMMON_LOADED=1
set -euo pipefail

LONGSHORE_STATE=${LONGSHORE_STATE:-/var/tmp/longshore-demo}
LONGSHORE_CACHE=${LONGSHORE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/longshore}
LONGSHORE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export LONGSHORE_STATE LONGSHORE_CACHE LONGSHORE_ROOT

# Logins and CLI plugins of these scripts stay out of the user's own ~/.docker, and a remote
# engine the user may have chosen stays out of the demo.
export DOCKER_HOST=unix:///var/run/docker.sock
export DOCKER_CONFIG=$LONGSHORE_STATE/docker
export DOCKER_CLI_HINTS=false
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY

# Steps send their own output to a log, so what a person shall see goes through these copies.
exec {LONGSHORE_OUT}>&1 {LONGSHORE_ERR}>&2

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  C_DIM=$'\e[2m' C_OK=$'\e[32m' C_BAD=$'\e[31m' C_HEAD=$'\e[1m' C_OFF=$'\e[0m'
else
  C_DIM='' C_OK='' C_BAD='' C_HEAD='' C_OFF=''
fi

DEATH='' STEP_NAME='' STEP_NOTE='' STEP_LOG='' STEP_BEGAN=0
AT_EXIT=()
declare -A LOCKS=()

# say TEXT: one line to the person.
say() { printf '%s\n' "$*" >&"$LONGSHORE_OUT"; }

# heading TEXT: a bold line above a group of steps.
heading() { printf '%s%s%s\n' "$C_HEAD" "$*" "$C_OFF" >&"$LONGSHORE_OUT"; }

# die WHAT [NEXT]: ends the script; WHAT says what and why, NEXT what to do. Told last, below the
# failed step; a subshell runs no EXIT trap, so it tells at once.
die() {
  DEATH=$(printf '%serror:%s %s' "$C_BAD" "$C_OFF" "$1")
  [[ $# -lt 2 ]] || DEATH+=$'\n       '$2
  if ((BASH_SUBSHELL > 0)); then printf '%s\n' "$DEATH" >&"$LONGSHORE_ERR"; fi
  exit 1
}

# note TEXT: what the running step adds to its line, such as "already there".
note() { STEP_NOTE=$1; }

# now_ms: wall clock in milliseconds.
now_ms() { local now=${EPOCHREALTIME/[.,]/}; printf '%s' "${now%???}"; }

# seconds_since MS: "1.2" since a now_ms.
seconds_since() {
  local ms=$(($(now_ms) - $1))
  printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

# step LABEL COMMAND...: runs COMMAND in this shell, its output into a log of its own, and tells
# one line with the seconds it took. COMMAND keeps `set -e`; a failure ends the script with the log's end.
step() {
  STEP_NAME=$1 STEP_NOTE='' STEP_BEGAN=$(now_ms)
  shift
  state_dir log
  STEP_LOG=$LONGSHORE_STATE/log/step-${STEP_NAME//[^A-Za-z0-9.-]/-}.log
  { "$@"; } >"$STEP_LOG" 2>&1
  printf '  %-34s %s%6s s%s%s\n' "$STEP_NAME" "$C_OK" "$(seconds_since "$STEP_BEGAN")" "$C_OFF" \
    "${STEP_NOTE:+  $C_DIM$STEP_NOTE$C_OFF}" >&"$LONGSHORE_OUT"
  STEP_NAME=''
}

# at_exit COMMAND...: runs when the script ends, last registered first.
at_exit() { AT_EXIT=("$(printf '%q ' "$@")" "${AT_EXIT[@]+"${AT_EXIT[@]}"}"); }

on_exit() {
  local code=$? command
  trap - EXIT
  set +e
  if [[ -n $STEP_NAME && $code -ne 0 ]]; then
    {
      printf '  %-34s %sfailed%s after %s s; the end of %s:\n' "$STEP_NAME" "$C_BAD" "$C_OFF" \
        "$(seconds_since "$STEP_BEGAN")" "$STEP_LOG"
      tail -n 15 "$STEP_LOG" | sed 's/^/    /'
    } >&"$LONGSHORE_ERR"
  fi
  [[ -z $DEATH ]] || printf '%s\n' "$DEATH" >&"$LONGSHORE_ERR"
  for command in "${AT_EXIT[@]+"${AT_EXIT[@]}"}"; do eval "$command"; done
  exit "$code"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# state_dir SUB...: makes directories below the state directory, readable by root alone.
state_dir() {
  local sub
  for sub in "$@"; do
    [[ -d $LONGSHORE_STATE/$sub ]] || (umask 077 && mkdir -p "$LONGSHORE_STATE/$sub")
  done
}

# take_lock NAME / drop_lock NAME: one script at a time sets up a part; ended scripts drop theirs.
take_lock() {
  local fd
  state_dir run
  exec {fd}>"$LONGSHORE_STATE/run/$1.lock"
  flock -w 600 "$fd" || die "another script has held the lock '$1' for ten minutes" "look who: fuser $LONGSHORE_STATE/run/$1.lock"
  LOCKS[$1]=$fd
}
drop_lock() {
  local fd=${LOCKS[$1]}
  exec {fd}>&-
  unset "LOCKS[$1]"
}

# wait_until SECONDS COMMAND...: polls until COMMAND succeeds; 1 when the time is over.
wait_until() {
  local deadline=$(($(now_ms) + $1 * 1000))
  shift
  until "$@"; do
    (($(now_ms) < deadline)) || return 1
    sleep 0.05
  done
}

# have COMMAND: is it in PATH?
have() { command -v "$1" >/dev/null 2>&1; }

# need_root: everything here changes the machine.
need_root() { [[ $EUID -eq 0 ]] || die "this sets up packages and a Docker engine, so it must run as root" "sudo $0"; }

# random_word BYTES: hex from the kernel.
random_word() { od -An -vtx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# private_file PATH: writes stdin to a file nobody else can read, whole or not at all.
private_file() { (umask 077 && cat >"$1.new" && mv "$1.new" "$1"); }
