# shellcheck shell=bash
# What must be there, and what must not be, once the line has run. Each check says what it saw and ends
# the script where that is wrong.
# shellcheck source=script/lib/line.sh
source "$(dirname "${BASH_SOURCE[0]}")/line.sh"

LINE_IMAGES_BEFORE=''

# snapshot_images: remembers which nameless images the engine has before the run.
snapshot_images() { LINE_IMAGES_BEFORE=$(nameless_images); }

# list_images [-a]: every image of the engine, but for those that another one is built on: repository, tag,
# digest, id.
list_images() {
  docker image ls "$@" --no-trunc --digests --format '{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}'
}

# nameless_images: the steps of the classic builder below `latest` are none: they are its layers, and go with it.
nameless_images() { list_images | awk -F'\t' '$1 == "<none>" { print $4 }' | sort -u; }

# show_app_images: the same for a person.
show_app_images() { app_images | sed 's/\t/  /g; s/^/    /' >&"$LONGSHORE_OUT"; }

# app_images: those of the app's repository, whatever their tag.
app_images() { list_images -a | awk -F'\t' -v repository="$LINE_REPOSITORY" '$1 == repository'; }

# only_latest: the prune goes on for a moment after the delivery's job.
only_latest() { [[ $(app_images | cut -f 2) == latest ]]; }

# check_images: one line of the app's repository, `latest`, and no nameless image that was not there before.
check_images() {
  local new
  wait_until 30 only_latest ||
    die "the engine holds more or less of $LINE_REPOSITORY than latest" "see: docker image ls -a --digests $LINE_REPOSITORY"
  new=$(comm -13 <(printf '%s\n' "$LINE_IMAGES_BEFORE") <(nameless_images))
  [[ -z $new ]] || die "the run left nameless images: ${new//$'\n'/ }" 'see: docker image ls -a --digests | grep "<none>"'
  note "one line of $LINE_REPOSITORY, no new <none>"
}

# check_tags_kept: where nothing is pruned, `test` and the commit's tag are still there.
check_tags_kept() {
  local tags
  tags=$(app_images | cut -f 2 | sort | paste -s -d ' ')
  [[ " $tags " == *" test "* && " $tags " == *" $LINE_COMMIT "* && " $tags " == *" latest "* ]] ||
    die "with pruning off the engine should hold latest, test and $LINE_COMMIT, but holds: $tags"
  note "$tags"
}

# check_registry: the registry's `latest` is the image the engine has; tells all its tags.
check_registry() {
  local here there tags
  tags=$(registry_tags "$LINE_PROJECT" | sort | paste -s -d ' ')
  there=$(registry_call HEAD "/v2/$LINE_PROJECT/manifests/latest" -I -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    -H 'Accept: application/vnd.oci.image.manifest.v1+json' -H 'Accept: application/vnd.oci.image.index.v1+json' |
    tr -d '\r' | awk 'tolower($1) == "docker-content-digest:" { print $2 }')
  here=$(docker image inspect -f '{{join .RepoDigests "\n"}}' "$LINE_REPOSITORY:latest" | sed -n "s|^$LINE_REPOSITORY@||p")
  [[ -n $there && $there == "$here" ]] ||
    die "the registry's latest is '$there', the engine's is '$here'" "see: docker pull $LINE_REPOSITORY:latest"
  note "tags: $tags"
}

# check_broker: the pipeline had Docker from the broker. The ledger tells each push with the digest that the
# registry has, and the job log tells that a secret went into an image.
check_broker() {
  local pushed digest
  if [[ $LINE_SOCKET != brokered ]]; then
    note "not asked: the jobs had the $LINE_SOCKET socket"
    return
  fi
  grep -q "the secret PAGE_SECRET goes into an image of $LINE_REPOSITORY" "$LINE_LOG" ||
    die "the job log does not tell that PAGE_SECRET goes into the image" "see: $LINE_LOG"
  digest=$(docker image inspect -f '{{join .RepoDigests "\n"}}' "$LINE_REPOSITORY:latest" | grep "^$LINE_REPOSITORY@")
  pushed=$("$RELEASE_BINARY" --settings "$LINE_SETTINGS" ledger --json --project "$LINE_PROJECT" |
    jq -r --arg digest "$digest" 'select(.event == "image" and .deed == "pushed" and .digest == $digest) | .references[]' |
    sed "s|^$LINE_REPOSITORY:||" | sort | paste -s -d ' ')
  [[ " $pushed " == *" test "* && " $pushed " == *" $LINE_COMMIT "* && " $pushed " == *" latest "* ]] ||
    die "the ledger should tell latest, test and $LINE_COMMIT as pushed under $digest, but tells: $pushed"
  note "pushed as ${digest#*@}: $pushed"
}

# start_line_app: what was delivered, run as anybody would who pulls it.
start_line_app() {
  stop_line_app
  docker pull -q "$LINE_REPOSITORY:latest"
  docker run -d --name "$LINE_APP" --label longshore-demo=app -p "127.0.0.1:${LONGSHORE_DEMO_PORT:-0}:8080" "$LINE_REPOSITORY:latest"
  wait_until 30 line_get /status || {
    docker logs "$LINE_APP"
    die "the delivered image does not answer within 30 s" "see: docker logs $LINE_APP"
  }
  note "$(line_address)"
}

line_address() { printf 'http://%s' "$(docker port "$LINE_APP" 8080/tcp | head -n 1)"; }

line_get() { curl -sSf --noproxy '*' --max-time 5 "$(line_address)$1"; }

# check_page: the page shows the secret that Vault was given in this run. Told in part: who keeps what this
# script says would else have the secret in a file, where check_secrets finds it.
check_page() {
  local page
  page=$(line_get /)
  [[ $page == *"<code id=\"secret\">$LINE_PAGE_SECRET</code>"* ]] ||
    die 'the page does not show the secret that Vault holds' "see: curl $(line_address)/"
  note "shows the secret from Vault: ${LINE_PAGE_SECRET:0:13}..."
}

# check_status: /status tells the commit that was pushed.
check_status() {
  local status
  status=$(line_get /status)
  [[ $(jq -r '.commit_sha + " " + .status' <<<"$status") == "$LINE_COMMIT alive" ]] ||
    die "/status does not tell the commit $LINE_COMMIT: $status"
  note "$(jq -c . <<<"$status")"
}

# check_leftovers: nothing of the jobs is left; what removes it goes on for a moment after the pipeline.
check_leftovers() {
  wait_until 30 no_leftovers ||
    die "the jobs left containers or volumes: $(line_containers | paste -s -d ' ') $(line_volumes | paste -s -d ' ')"
  note '0 containers, 0 volumes of the jobs'
}

line_containers() { docker ps -a --filter "label=longshore.project=$LINE_PROJECT" --format '{{.Names}}'; }
line_volumes() { docker volume ls --filter "label=longshore.project=$LINE_PROJECT" --format '{{.Name}}'; }
no_leftovers() { [[ -z $(line_containers)$(line_volumes) ]]; }

# check_secrets: the canary is nowhere. The secret that may be in the image is found by the same search,
# which proves that it sees, and is in the image and its copies only.
check_secrets() {
  local finds root stray
  root=$(docker info -f '{{.DockerRootDir}}')
  finds=$(printf 'PAGE_SECRET=%s\nCANARY_SECRET=%s\n' "$LINE_PAGE_SECRET" "$LINE_CANARY_SECRET" |
    /usr/bin/python3 "$LONGSHORE_ROOT/script/lib/find-secret.py" --since "$LINE_STAMP" \
      "$root" /run /tmp /var/tmp /var/log /dev/shm "$LONGSHORE_STATE")
  printf '%s\n' "$finds"
  stray=$(sed -n 's/^CANARY_SECRET\t//p' <<<"$finds")
  [[ -z $stray ]] || die "the canary secret lies in: $stray" 'only what the setting bake names may rest, and only in its image'
  grep -q "^PAGE_SECRET"$'\t'"$root/image/" <<<"$finds" || die 'the search does not find the secret that is in the image, so it proves nothing'
  stray=$(sed -n 's/^PAGE_SECRET\t//p' <<<"$finds" | grep -v -e "^$root/" -e "^$REGISTRY_DIR/data/" -e '^docker ' -e '^/proc/' -e '^/run/docker/' -e '^/run/containerd/' || true)
  [[ -z $stray ]] || die "the page's secret lies outside of the image: $stray"
  note "canary nowhere in $(sed -n 's/^searched\t//p' <<<"$finds"); the baked one only in the image"
}
