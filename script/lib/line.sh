# shellcheck shell=bash
# The whole line, as a project has it: a bare repository whose hook starts the pipeline of what is
# pushed, by `longshore local`, with settings, secrets and a registry login of its own.
# shellcheck source=script/lib/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

LINE_PROJECT=${LONGSHORE_LINE_PROJECT:-demo/app}
LINE_REPOSITORY=$REGISTRY/$LINE_PROJECT
LINE_SLOTS=${LONGSHORE_LINE_SLOTS:-longshore-demo-slot-}
LINE_APP=${LONGSHORE_LINE_APP:-longshore-demo-app}
LINE_DIR=$LONGSHORE_STATE/line
LINE_SETTINGS=$LINE_DIR/longshore.toml
LINE_STAMP=$LINE_DIR/begun
# "raw" gives the project's jobs this host's own socket instead
LINE_SOCKET=${LONGSHORE_LINE_SOCKET:-brokered}
LINE_LOG=$LINE_DIR/pipeline.log
# what of this repository the project holds
LINE_FILES=(.gitlab-ci.yml .dockerignore Dockerfile app)
# the secrets of this run (they stay in this shell) and the commit that was pushed
LINE_PAGE_SECRET='' LINE_CANARY_SECRET='' LINE_COMMIT=''

# write_line_secrets: new values at each run, so that whatever holds one was written in this run.
write_line_secrets() {
  state_dir line
  rm -f "$LINE_STAMP"
  : >"$LINE_STAMP" # before the values are made: nothing that holds one can be older
  LINE_PAGE_SECRET=ahoy-$(random_word 12)
  LINE_CANARY_SECRET=canary-$(random_word 16)
  VALUE=$LINE_PAGE_SECRET bao_write_secret kv longshore/page value=VALUE
  VALUE=$LINE_CANARY_SECRET bao_write_secret kv longshore/canary value=VALUE
}

# write_line_settings [--no-prune]: longshore's settings for this project.
write_line_settings() {
  local prune=true
  [[ ${1:-} != --no-prune ]] || prune=false
  state_dir line line/state line/run
  line_settings "$prune" | private_file "$LINE_SETTINGS"
}

# line_settings PRUNE: the file. PAGE_SECRET may go into the app's image; CANARY_SECRET may rest nowhere.
line_settings() {
  cat <<EOS
state_dir = "$LINE_DIR/state"
run_dir = "$LINE_DIR/run"

[docker]
host = "$DOCKER_HOST"
helper_image = "$IMAGE_HELPER"
pull_policy = ["if-not-present"]
slot_prefix = "$LINE_SLOTS"
shared_images = [$(line_shared_images)]

# the build, test and delivery jobs need an engine: theirs holds what they make and nothing else
[[project]]
projects = ["$LINE_PROJECT"]
docker_socket = "$LINE_SOCKET"

# what they may pull, run and build from, besides the project's own repository
[broker]
allowed_images = ["$IMAGE_PYTHON"]

[vault]
address = "$BAO_ADDRESS"
ca_file = "$BAO_CA"

[vault.approle]
role_id_file = "$BAO_ROLE_ID_FILE"
secret_id_file = "$BAO_SECRET_ID_FILE"

[secrets.PAGE_SECRET]
path = "kv/longshore/page#value"
projects = ["$LINE_PROJECT"]
protected_only = true

[secrets.CANARY_SECRET]
path = "kv/longshore/canary#value"
projects = ["$LINE_PROJECT"]

[[bake]]
secret = "PAGE_SECRET"
repository = "$LINE_REPOSITORY"

[prune]
enabled = $1
after_stages = ["delivery"]
keep = ["latest"]
drop = ["test", "\$CI_COMMIT_SHA", "\$CI_COMMIT_SHORT_SHA"]
EOS
}

# line_build_flags: a stand-in of the base image is in no registry, so it cannot be pulled anew.
line_build_flags() {
  if is_stand_in "$IMAGE_PYTHON"; then echo '--no-cache'; else echo '--no-cache --pull'; fi
}

# line_shared_images: nor can a registry be asked whether this project may have it.
line_shared_images() {
  if is_stand_in "$IMAGE_PYTHON"; then printf '"%s"' "$IMAGE_PYTHON"; fi
}

is_stand_in() { [[ -n $(docker image inspect -f '{{index .Config.Labels "longshore.stand-in"}}' "$1") ]]; }

# line_command: what the hook calls, a word a line. The registry's password comes from a file and stands
# in no argument list.
line_command() {
  printf '%s\n' "$RELEASE_BINARY" --settings "$LINE_SETTINGS" local --json --jobs 3 --project "$LINE_PROJECT" \
    --registry "$REGISTRY" --registry-user "$REGISTRY_USER" --registry-password-file "$REGISTRY_DIR/password" \
    --variable "BUILD_FLAGS=$(line_build_flags)"
}

# make_line_repository: the bare repository with its hook, and a clone to push from.
make_line_repository() {
  local bare=$LINE_DIR/app.git clone=$LINE_DIR/clone command
  [[ -d $bare ]] || line_git init -q --bare --initial-branch=main "$bare"
  mapfile -t command < <(line_command)
  {
    printf '#!/bin/sh\nexec'
    printf ' %q' "$LONGSHORE_ROOT/script/lib/on-push" "$LINE_LOG" "${command[@]}"
    echo
  } >"$bare/hooks/post-receive"
  chmod 755 "$bare/hooks/post-receive"
  if [[ ! -d $clone ]]; then
    line_git clone -q "$bare" "$clone" 2>&1
    line_git -C "$clone" symbolic-ref HEAD refs/heads/main
  fi
  note "$bare"
}

# commit_line: this repository's example as it stands in the working tree, as the next commit of the
# project. Empty commits too: each run has a commit of its own.
commit_line() {
  local clone=$LINE_DIR/clone path
  for path in "${LINE_FILES[@]}"; do rm -rf "${clone:?}/$path"; done
  (cd "$LONGSHORE_ROOT" && tar -cf - --exclude='__pycache__' --exclude='.*_cache' --exclude='.venv' --exclude='.coverage' "${LINE_FILES[@]}") |
    tar -C "$clone" -xf -
  line_git -C "$clone" add --all
  line_git -C "$clone" commit -q --allow-empty -m "Deliver the living example, run $(($(line_git -C "$clone" rev-list --all --count) + 1))"
  LINE_COMMIT=$(line_git -C "$clone" rev-parse HEAD)
  note "$LINE_COMMIT"
}

# push_line: pushes; what the pipeline says is shown as it comes, and 1 when the pipeline failed.
push_line() {
  rm -f "$LINE_LOG" "$LINE_LOG".*
  # git fills its lines up with blanks where there is no terminal
  line_git -C "$LINE_DIR/clone" push origin main 2>&1 | sed -u 's/ *$//; s/^/  /'
  [[ $(cat "$LINE_LOG.result" 2>/dev/null) == "$LINE_COMMIT 0" ]]
}

# show_line_seconds: each job and its calls in the runner's order, from the summary.
show_line_seconds() {
  jq -r '
    def order: ["config", "prepare", "prepare_script", "get_sources", "restore_cache", "download_artifacts", "build_script",
      "after_script", "archive_cache", "upload_artifacts_on_success", "upload_artifacts_on_failure", "cleanup_file_variables", "cleanup"];
    def short: . * 100 | round / 100;
    def known: .key as $name | order | index($name) // 6;
    .jobs[] | "  \(.name)\t\(.result)\t\(.seconds | short) s",
      (.calls | to_entries | sort_by(known)[] | "    \(.key)\t\t\(.value | short) s")
  ' "$LINE_LOG.json" | expand -t 34,52
}

# line_result: one line.
line_result() { jq -r '"the pipeline \(.result), \([.jobs[].result] | group_by(.) | map("\(length) \(.[0])") | join(", "))"' "$LINE_LOG.json"; }

# line_git ARGUMENT...: git without this user's settings, as whoever the demo is.
line_git() {
  env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_TERMINAL_PROMPT=0 \
    git -c user.name='Longshore demo' -c user.email=demo@longshore.test -c commit.gpgSign=false -c safe.directory='*' "$@"
}

# stop_line_app: a running container would hold the image that the next run replaces.
stop_line_app() { docker rm -fv "$LINE_APP" 2>/dev/null || true; }

# remove_line: what the line made on the engine, and nothing of another Longshore on this machine.
remove_line() {
  engine_answers || return 0
  stop_line_app
  remove_matching container "label=longshore.project=$LINE_PROJECT"
  remove_matching volume "label=longshore.project=$LINE_PROJECT"
  remove_matching network "name=^$LINE_SLOTS"
  # of no use to anybody at this moment; a job that wants one fills it again
  remove_matching volume label=longshore.kind=agent --filter dangling=true
}

# remove_matching container|volume|network FILTER [OPTION...]: forced where the engine knows a force.
remove_matching() {
  local kind=$1 ids list=(ls -q) force=()
  if [[ $kind == container ]]; then list=(ls -aq) force=(-fv); fi
  mapfile -t ids < <(docker "$kind" "${list[@]}" --filter "${@:2}")
  ((${#ids[@]} == 0)) || docker "$kind" rm "${force[@]+"${force[@]}"}" "${ids[@]}"
}
