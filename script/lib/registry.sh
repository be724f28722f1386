# shellcheck shell=bash
# A registry as people have one: a host name, TLS from an own authority, logins. On 127.0.0.0/8 the
# engine skips TLS checks, so the name resolves to an address of this machine that is none of those.
# shellcheck source=script/lib/process.sh
source "$(dirname "${BASH_SOURCE[0]}")/process.sh"

REGISTRY_NAME=${LONGSHORE_REGISTRY_NAME:-registry.longshore.test}
REGISTRY_PORT=${LONGSHORE_REGISTRY_PORT:-5443}
REGISTRY=$REGISTRY_NAME:$REGISTRY_PORT
REGISTRY_USER=longshore
# An address of our own on the loopback device: it is there before and after any engine, and
# containers on every bridge reach it through their gateway.
HOST_ADDRESS=${LONGSHORE_ADDRESS:-10.213.77.1}
REGISTRY_DIR=$LONGSHORE_STATE/registry
export REGISTRY_NAME REGISTRY_PORT REGISTRY REGISTRY_USER REGISTRY_DIR HOST_ADDRESS

# start_registry: TLS and logged-in pushes on $REGISTRY; storage survives a stop.
start_registry() {
  need_root
  take_lock registry
  state_dir registry registry/data
  add_host_address
  add_hosts_line
  if ! certificates_good; then
    end_spawned registry
    make_certificates
  fi
  if is_spawned registry; then
    note "$REGISTRY, already running"
  else
    ensure_registry_login
    write_registry_config
    spawn registry docker-registry serve "$REGISTRY_DIR/config.yml"
    await_ready registry 20 registry_answers
    note "$REGISTRY"
  fi
  trust_registry
  drop_lock registry
}

# stop_registry: ends it; `forget_registry` takes name, trust and storage away as well.
stop_registry() { end_spawned registry; }

forget_registry() {
  stop_registry
  rm -rf "$REGISTRY_DIR" "/etc/docker/certs.d/$REGISTRY"
  rmdir /etc/docker/certs.d 2>/dev/null || true
  edit_hosts ''
  ip address delete "$HOST_ADDRESS/32" dev lo 2>/dev/null || true
}

# registry_answers: 200 with the login. The password goes through curl's stdin, never its arguments.
registry_answers() { registry_call GET /v2/ >/dev/null; }

# registry_call METHOD PATH [CURL_OPTION...]: one request to the registry's API, body on stdout.
registry_call() {
  local method=$1 path=$2
  shift 2
  printf 'user = "%s:%s"\n' "$REGISTRY_USER" "$(<"$REGISTRY_DIR/password")" |
    curl -sSf --noproxy '*' --max-time 10 --cacert "$REGISTRY_DIR/ca.crt" -K - -X "$method" "$@" "https://$REGISTRY$path"
}

# registry_tags REPOSITORY: its tags, one a line; none when it does not exist.
registry_tags() { registry_call GET "/v2/$1/tags/list" 2>/dev/null | jq -r '.tags // [] | .[]' || true; }

# registry_login: logs the scripts' CLI in (its own DOCKER_CONFIG), through the daemon, which may read
# /etc/hosts anew only 5 s after it last did.
registry_login() {
  wait_until 10 daemon_knows_registry || true
  docker login -u "$REGISTRY_USER" --password-stdin "$REGISTRY" <"$REGISTRY_DIR/password"
}

# daemon_knows_registry: any answer to a login but that there is no such name.
daemon_knows_registry() {
  local answer
  answer=$(docker login -u "$REGISTRY_USER" --password-stdin "$REGISTRY" <"$REGISTRY_DIR/password" 2>&1) ||
    [[ $answer != *'no such host'* ]]
}

# collect_registry_garbage: frees what no tag or digest names any more.
collect_registry_garbage() { docker-registry garbage-collect "$REGISTRY_DIR/config.yml"; }

# certificates_good: for this name, from this authority, good for a week at least.
certificates_good() {
  [[ -s $REGISTRY_DIR/tls.crt ]] &&
    openssl verify -CAfile "$REGISTRY_DIR/ca.crt" -verify_hostname "$REGISTRY_NAME" "$REGISTRY_DIR/tls.crt" &&
    openssl x509 -in "$REGISTRY_DIR/tls.crt" -noout -checkend 604800
}

# make_certificates: an authority and a certificate for the name.
make_certificates() {
  new_certificate "$REGISTRY_DIR/ca" '/CN=Longshore demo authority' 'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign,cRLSign'
  new_certificate "$REGISTRY_DIR/tls" "/CN=$REGISTRY_NAME" "subjectAltName=DNS:$REGISTRY_NAME,IP:$HOST_ADDRESS" \
    'basicConstraints=critical,CA:FALSE' 'extendedKeyUsage=serverAuth'
}

# new_certificate PATH SUBJECT EXTENSION...: PATH.key and PATH.crt, good for 90 days; the
# authority signs itself, anything else is signed by the authority beside it.
new_certificate() {
  local path=$1 subject=$2 extensions signer=()
  shift 2
  extensions=$(printf '%s\n' "$@")
  (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$path.key")
  if [[ $path == */ca ]]; then signer=(-signkey "$path.key"); else
    signer=(-CA "${path%/*}/ca.crt" -CAkey "${path%/*}/ca.key" -CAcreateserial)
  fi
  openssl req -new -key "$path.key" -subj "$subject" |
    openssl x509 -req -days 90 "${signer[@]}" -extfile <(printf '%s\n' "$extensions") -out "$path.crt"
}

# ensure_registry_login: a random password in a file of its own and its bcrypt line. Python's crypt
# module is gone since 3.13, the C library behind it is not.
ensure_registry_login() {
  [[ -s $REGISTRY_DIR/password ]] || random_word 16 | private_file "$REGISTRY_DIR/password"
  # shellcheck disable=SC2016 # the dollars are bcrypt's
  /usr/bin/python3 -c '
import ctypes, secrets, string, sys
crypt = ctypes.CDLL("libcrypt.so.1").crypt
crypt.restype = ctypes.c_char_p
salt = "".join(secrets.choice("./" + string.ascii_letters + string.digits) for _ in range(21)) + "e"
line = crypt(sys.stdin.buffer.read(), b"$2y$10$" + salt.encode())
assert line and line.startswith(b"$2y$"), "the C library knows no bcrypt"
print(sys.argv[1] + ":" + line.decode())
' "$REGISTRY_USER" <"$REGISTRY_DIR/password" | private_file "$REGISTRY_DIR/htpasswd"
}

write_registry_config() {
  private_file "$REGISTRY_DIR/config.yml" <<EOS
version: 0.1
log: { level: info, accesslog: { disabled: false } }
storage:
  filesystem: { rootdirectory: $REGISTRY_DIR/data }
  delete: { enabled: true }
http:
  addr: $HOST_ADDRESS:$REGISTRY_PORT
  secret: $(random_word 16)
  tls: { certificate: $REGISTRY_DIR/tls.crt, key: $REGISTRY_DIR/tls.key }
auth:
  htpasswd: { realm: longshore, path: $REGISTRY_DIR/htpasswd }
EOS
}

# trust_registry: the engine reads certs.d at each connection, no restart needed.
trust_registry() {
  mkdir -p "/etc/docker/certs.d/$REGISTRY"
  cmp -s "$REGISTRY_DIR/ca.crt" "/etc/docker/certs.d/$REGISTRY/ca.crt" ||
    install -m 644 "$REGISTRY_DIR/ca.crt" "/etc/docker/certs.d/$REGISTRY/ca.crt"
}

add_host_address() {
  [[ -n $(ip -4 address show to "$HOST_ADDRESS/32") ]] || ip address add "$HOST_ADDRESS/32" dev lo
}

add_hosts_line() {
  local line="$HOST_ADDRESS $REGISTRY_NAME # longshore"
  grep -qxF "$line" /etc/hosts || edit_hosts "$line"
}

# edit_hosts LINE: our line for the name becomes LINE (none when empty). Written in place, as the
# file may be a mount.
edit_hosts() {
  local rest
  rest=$(grep -v " $REGISTRY_NAME # longshore\$" /etc/hosts || true)
  printf '%s\n' "$rest" ${1:+"$1"} >/etc/hosts
}
