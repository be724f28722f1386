# shellcheck shell=bash
# Daemons these scripts start: detached, known by pid and start time, ended by that and nothing else.
# shellcheck source=script/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# process_start PID: the start time of a living process in clock ticks; fails when it is gone or a zombie.
process_start() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # the command name may hold spaces and brackets, so count fields after its last bracket
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} != [ZX] ]] || return 1
  printf '%s' "${stat[19]}"
}

# spawn NAME COMMAND...: starts a daemon in a session of its own, output to log/NAME.log. It
# inherits no descriptor of ours: else `script/demo | cat` would wait for the daemon's end.
spawn() {
  local name=$1
  shift
  state_dir run log
  local pidfile=$LONGSHORE_STATE/run/$name.pid
  rm -f "$pidfile"
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid bash -c '
    exec </dev/null >>"$2" 2>&1
    for fd in /proc/$$/fd/*; do
      fd=${fd##*/}
      ((fd <= 2 || fd == 255)) || exec {fd}>&-
    done
    stat=$(</proc/$$/stat)
    read -ra stat <<<"${stat##*) }"
    echo "$$ ${stat[19]}" >"$1.new"
    mv "$1.new" "$1"
    shift 2
    exec "$@"
  ' spawn "$pidfile" "$LONGSHORE_STATE/log/$name.log" "$@" &
  disown
  wait_until 10 test -s "$pidfile" || die "$name did not start" "see $LONGSHORE_STATE/log/$name.log"
}

# spawned_pid NAME: the pid of a daemon of ours that lives; fails otherwise.
spawned_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$LONGSHORE_STATE/run/$1.pid" || return 1
  [[ $(process_start "$pid") == "$start" ]] || return 1
  printf '%s' "$pid"
}

# is_spawned NAME: does a daemon of ours live under this name?
is_spawned() { spawned_pid "$1" >/dev/null; }

# is_gone NAME: the opposite, for wait_until.
is_gone() { ! is_spawned "$1"; }

# ready_or_gone NAME COMMAND...: true when COMMAND succeeds or the daemon has died.
ready_or_gone() {
  local name=$1
  shift
  "$@" || is_gone "$name"
}

# await_ready NAME SECONDS COMMAND...: waits for a daemon of ours, ends early with its log when it dies.
await_ready() {
  local name=$1 seconds=$2 why
  shift 2
  wait_until "$seconds" ready_or_gone "$name" "$@" || true
  if ! "$@"; then
    why="does not answer within $seconds s"
    is_spawned "$name" || why='ended at once'
    tail -n 10 "$LONGSHORE_STATE/log/$name.log" >&2 || true
    die "$name $why" "see the end of $LONGSHORE_STATE/log/$name.log"
  fi
}

# end_spawned NAME [SECONDS]: TERM, then KILL after SECONDS (20); nothing when it is not ours or gone.
end_spawned() {
  local pid
  if pid=$(spawned_pid "$1"); then
    kill -TERM "$pid" 2>/dev/null || true
    if ! wait_until "${2:-20}" is_gone "$1"; then
      kill -KILL "$pid" 2>/dev/null || true
      wait_until 10 is_gone "$1" || die "process $pid ($1) does not end" "look at it: ps -p $pid"
    fi
  fi
  rm -f "$LONGSHORE_STATE/run/$1.pid"
}
