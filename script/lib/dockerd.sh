# shellcheck shell=bash
# The Docker engine: used where one answers, else started; and further engines for tests that kill them.
# shellcheck source=script/lib/process.sh
source "$(dirname "${BASH_SOURCE[0]}")/process.sh"

# engine_answers [SOCKET]: does an engine answer a ping there?
engine_answers() {
  [[ -S ${1:-/var/run/docker.sock} ]] &&
    curl -fs -o /dev/null --noproxy '*' --max-time 2 --unix-socket "${1:-/var/run/docker.sock}" http://localhost/_ping
}

# start_dockerd: makes sure an engine answers on /var/run/docker.sock.
start_dockerd() {
  if engine_answers; then
    note 'already running'
    return
  fi
  need_root
  take_lock dockerd
  if ! engine_answers; then
    if [[ -d /run/systemd/system ]]; then
      systemctl start docker
      wait_until 60 engine_answers || die 'the docker service does not answer' 'see: journalctl -u docker'
    else
      forget_dead_pidfile /var/run/docker.pid dockerd
      forget_dead_pidfile /var/run/docker/containerd/containerd.pid containerd
      mount_cgroups
      spawn dockerd dockerd
      await_ready dockerd 60 engine_answers
    fi
  fi
  drop_lock dockerd
}

# stop_dockerd: ends the engine if these scripts started it; containers end with it.
stop_dockerd() { end_spawned dockerd 40; }

# forget_dead_pidfile FILE COMMAND: after a crash the pid may be a zombie's or another program's, and
# the engine would refuse to start, or wait for a containerd that is none.
forget_dead_pidfile() {
  pidfile_lives "$@" || rm -f "$1"
}

# pidfile_lives FILE COMMAND: does FILE name a living process of that command?
pidfile_lives() {
  local pid=''
  if [[ -s $1 ]]; then read -r pid <"$1" || true; fi
  [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == "$2" ]] && process_start "$pid" >/dev/null
}

# mount_cgroups: a bare machine without systemd may have mounted none.
mount_cgroups() {
  mountpoint -q /sys/fs/cgroup && return
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# --- further engines ---------------------------------------------------------------------------
# A second engine in this network namespace would delete docker0 and flush the first one's firewall,
# so each has a namespace of its own, joined to this one by a veth pair (enough for the registry).

engine_dir() { printf '%s/engines/%s' "$LONGSHORE_STATE" "$1"; }

# private_socket NAME: the socket of that engine.
private_socket() { printf '%s/docker.sock\n' "$(engine_dir "$1")"; }

# start_private_dockerd NAME [--debian SUITE] [DOCKERD_OPTION...]: starts engine NAME, or starts it again
# on the same data; with --debian that suite's Docker and containerd, which are unpacked and not
# installed (sid has 28, this machine's runc serves both). --live-restore goes here. Prints its socket.
start_private_dockerd() {
  local name=$1 dir programs=$PATH
  shift
  if [[ ${1:-} == --debian ]]; then
    programs=$(programs_of "$2"):$PATH
    shift 2
  fi
  [[ $name =~ ^[a-z0-9-]{1,20}$ ]] || die "'$name' is no name for an engine" 'lower case, digits, hyphens, at most 20'
  need_root
  dir=$(engine_dir "$name")
  if ! is_spawned "engine-$name"; then
    state_dir "engines/$name"
    join_namespace "$name"
    forget_dead_pidfile "$dir/docker.pid" dockerd
    forget_dead_pidfile "$dir/exec/containerd/containerd.pid" containerd
    rm -f "$dir/docker.sock"
    # a namespace of its own in containerd too: where the machine runs one, every engine uses it
    spawn "engine-$name" env PATH="$programs" nsenter --net="/run/netns/longshore-$name" dockerd \
      --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/docker.pid" \
      -H "unix://$dir/docker.sock" --bip 172.17.0.1/16 \
      --containerd-namespace "longshore-$name" --containerd-plugins-namespace "longshore-$name-plugins" "$@"
  fi
  await_ready "engine-$name" 60 engine_answers "$dir/docker.sock"
  private_socket "$name"
}

# programs_of SUITE: where that Debian suite's Docker and containerd are, as a PATH.
programs_of() {
  local docker containerd
  take_lock "debs-$1"
  docker=$(fetch_deb "$1" docker.io)
  containerd=$(fetch_deb "$1" containerd)
  drop_lock "debs-$1"
  printf '%s' "$docker/usr/sbin:$docker/usr/bin:$containerd/usr/bin"
}

# kill_private_dockerd NAME: kill -9, as a crash; containers live on where it has --live-restore.
kill_private_dockerd() {
  local pid
  pid=$(spawned_pid "engine-$1") || die "engine '$1' is not running"
  kill -KILL "$pid"
  wait_until 10 is_gone "engine-$1"
  # its containerd follows it; a new engine that still met it would wait for it in vain
  wait_until 10 containerd_gone "$(engine_dir "$1")" || die "the containerd of engine '$1' lives on"
}

containerd_gone() { ! pidfile_lives "$1/exec/containerd/containerd.pid" containerd; }

# stop_private_dockerd NAME: ends engine NAME with all it has, and takes its data and namespace away.
stop_private_dockerd() {
  local dir mount ids
  dir=$(engine_dir "$1")
  [[ -d $dir ]] || return 0
  if engine_answers "$dir/docker.sock"; then
    mapfile -t ids < <(docker -H "unix://$dir/docker.sock" ps -q)
    ((${#ids[@]} == 0)) || docker -H "unix://$dir/docker.sock" rm -f "${ids[@]}" >/dev/null
  fi
  end_spawned "engine-$1" 40
  end_engine_leftovers "$dir"
  while read -r mount; do umount -l "$mount"; done < <(awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r)
  leave_namespace "$1"
  rm -rf "$dir"
}

# end_engine_leftovers DIR: containerd and shims that outlived their engine (live-restore, kill -9),
# known by the engine's own directory in their arguments; then the control groups of those containers.
end_engine_leftovers() {
  local pid words children group
  for pid in /proc/[0-9]*; do
    pid=${pid#/proc/}
    { mapfile -d '' -t words <"/proc/$pid/cmdline"; } 2>/dev/null || continue
    [[ ${words[0]:-} == *containerd* && " ${words[*]}" == *" $1/exec/"* ]] || continue
    mapfile -t children < <(cat "/proc/$pid/task/"*/children 2>/dev/null | tr ' ' '\n' | grep . || true)
    kill -KILL "$pid" "${children[@]+"${children[@]}"}" 2>/dev/null || true
  done
  # By the groups, not by the containers: there may be thousands of those that never ran.
  for group in /sys/fs/cgroup/{,*/}docker/*; do
    [[ -d $group && -d $1/data/containers/${group##*/} ]] || continue
    wait_until 5 rmdir "$group" 2>/dev/null || true
  done
}

# join_namespace NAME: makes the engine's network namespace and its link to this one; again is fine.
join_namespace() {
  local ns=longshore-$1 dir index=0 net
  dir=$(engine_dir "$1")
  [[ ! -e /run/netns/$ns ]] || return 0
  take_lock namespaces
  net=10.213.78
  ip netns add "$ns"
  # making the link is what claims the number: engines under another LONGSHORE_STATE have theirs here too
  until ip link add "lse$index" type veth peer name eth0 netns "$ns" 2>/dev/null; do
    index=$((index + 1))
    ((index < 64)) || die 'there are 64 engines already' 'stop some'
  done
  echo "$index" >"$dir/index"
  ip address add "$net.$((index * 4 + 1))/30" dev "lse$index"
  ip link set "lse$index" up
  ip -n "$ns" address add "$net.$((index * 4 + 2))/30" dev eth0
  ip -n "$ns" link set lo up
  ip -n "$ns" link set eth0 up
  ip -n "$ns" route add default via "$net.$((index * 4 + 1))"
  drop_lock namespaces
}

# leave_namespace NAME: the link goes with the namespace, once nothing runs in it.
leave_namespace() {
  local index
  if [[ -e /run/netns/longshore-$1 ]]; then ip netns delete "longshore-$1"; fi
  if read -r index 2>/dev/null <"$(engine_dir "$1")/index" && [[ -e /sys/class/net/lse$index ]]; then
    # it goes with the namespace by itself, which may be just now
    ip link delete "lse$index" 2>/dev/null || [[ ! -e /sys/class/net/lse$index ]]
  fi
}
