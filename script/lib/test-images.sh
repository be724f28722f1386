# shellcheck shell=bash
# Tiny images for the tests, each wrong or special in one way, from Debian's static busybox.
# shellcheck source=script/lib/packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

# Changing what an image holds: raise this, so that machines with the old ones make them anew.
TEST_IMAGES_REVISION=1

TEST_IMAGES='busybox user entrypoint entrypoint-exits noshell arm64 service service-healthy service-dies dash pwsh'

# ensure_test_images: makes longshore-test/*:1 where missing (about a second).
ensure_test_images() {
  local busybox root name wanted=''
  for name in $TEST_IMAGES; do
    [[ $(image_revision "longshore-test/$name:1") == "$TEST_IMAGES_REVISION" ]] || wanted+=" $name"
  done
  if [[ -z $wanted ]]; then
    note 'all there'
    return
  fi
  busybox=$(fetch_deb "$(host_suite)" busybox-static)/bin/busybox
  root=$(mktemp -d)
  at_exit rm -rf "$root"
  busybox_tree "$busybox" "$root/full"
  for name in $wanted; do make_test_image "$name" "$root" "$busybox"; done
  note "made$wanted"
}

# make_test_image NAME DIR BUSYBOX: what is special about each. An older one goes first, or it would stay as <none>.
make_test_image() {
  docker image rm -f "longshore-test/$1:1" 2>/dev/null || true
  case $1 in
    busybox) import_tree "$2/full" busybox 'CMD ["/bin/sh"]' ;;
    user) import_tree "$2/full" user 'CMD ["/bin/sh"]' 'USER 1000:1000' 'ENV HOME=/home/app' 'WORKDIR /home/app' ;;
    entrypoint) import_tree "$2/full" entrypoint 'ENTRYPOINT ["/entrypoint"]' 'CMD ["/bin/sh"]' ;;
    entrypoint-exits) import_tree "$2/full" entrypoint-exits 'ENTRYPOINT ["/bin/false"]' ;;
    # Serves a page on port 8080 at once, and /health a second later; says what it was given.
    service) import_tree "$2/full" service 'CMD ["/serve"]' 'EXPOSE 8080' 'EXPOSE 9/udp' ;;
    # Its port opens at once; its health check passes once the file /tmp/healthy is there, a second later.
    service-healthy)
      import_tree "$2/full" service-healthy 'CMD ["/serve"]' 'EXPOSE 8080' \
        'HEALTHCHECK --interval=30s CMD test -e /tmp/healthy'
      ;;
    # Writes 60 lines and ends with 3, while its port is waited for.
    service-dies) import_tree "$2/full" service-dies 'CMD ["/die"]' 'EXPOSE 8080' ;;
    dash | pwsh)
      cp -a "$2/full" "$2/$1"
      "add_$1" "$2/$1"
      import_tree "$2/$1" "$1" 'CMD ["/bin/sh"]'
      ;;
    arm64) foreign_image arm64 "$2" ;;
    noshell)
      mkdir -p "$2/noshell/bin"
      cp "$3" "$2/noshell/bin/sleep"
      import_tree "$2/noshell" noshell 'CMD ["/bin/sleep", "3600"]'
      ;;
  esac
}

# remove_test_images: takes them away again.
remove_test_images() {
  local images
  mapfile -t images < <(docker image ls -q --no-trunc 'longshore-test/*' | sort -u)
  ((${#images[@]} == 0)) || docker image rm -f "${images[@]}"
}

image_revision() {
  docker image inspect -f '{{index .Config.Labels "longshore.test-images"}}' "$1" 2>/dev/null || true
}

# host_suite: the suite whose static busybox is taken: this machine's, so that its mirror has it.
host_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# busybox_tree BUSYBOX DIR: a root file system with busybox, a root and a user `app` (1000).
busybox_tree() {
  local applet
  mkdir -p "$2"/{bin,etc,tmp,root,home/app,proc,sys,dev,builds,usr/bin}
  chmod 1777 "$2/tmp"
  cp "$1" "$2/bin/busybox"
  for applet in $("$1" --list); do [[ $applet == busybox ]] || ln -s busybox "$2/bin/$applet"; done
  ln -s ../../bin/env "$2/usr/bin/env"
  printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n' >"$2/etc/passwd"
  printf 'root:x:0:\napp:x:1000:\n' >"$2/etc/group"
  chown 1000:1000 "$2/home/app"
  cat >"$2/entrypoint" <<'EOS'
#!/bin/sh
export ENTRYPOINT_RAN=yes
exec "$@"
EOS
  cat >"$2/serve" <<'EOS'
#!/bin/sh
echo "service: greeting=<$GREETING> arguments=<$*>"
mkdir -p /tmp/www
echo "hello from $(hostname) greeting=$GREETING user=$(id -u) arguments=$*" >/tmp/www/index.html
(sleep 1; echo yes >/tmp/healthy; echo well >/tmp/www/health; echo "service: ready") &
exec httpd -f -p 8080 -h /tmp/www
EOS
  cat >"$2/die" <<'EOS'
#!/bin/sh
seq 1 60 | sed 's/^/last words /'
exit 3
EOS
  chmod 755 "$2/entrypoint" "$2/serve" "$2/die"
}

# add_dash DIR: this machine's dash for its /bin/sh, with the libraries it is linked to.
add_dash() {
  local file
  for file in /usr/bin/dash $(ldd /usr/bin/dash | grep -o '/[^ ]*'); do
    mkdir -p "$1$(dirname "$file")"
    cp -L "$file" "$1$file"
  done
  rm "$1/bin/sh"
  ln -s ../usr/bin/dash "$1/bin/sh"
}

# add_pwsh DIR: what has PowerShell's name and options, and runs its standard input by sh.
add_pwsh() {
  cat >"$1/usr/bin/pwsh" <<'EOS'
#!/bin/sh
case "$*" in
  *-NoProfile*-NonInteractive*'-Command -') READ_BY_PWSH=yes exec /bin/sh ;;
esac
echo "pwsh: unexpected options: $*" >&2
exit 64
EOS
  chmod 755 "$1/usr/bin/pwsh"
}

# import_tree DIR NAME CHANGE...: one image from a tree, with Dockerfile lines.
import_tree() {
  local dir=$1 name=$2 options=() change
  shift 2
  for change in "$@" "LABEL longshore.test-images=$TEST_IMAGES_REVISION"; do options+=(--change "$change"); done
  tar -C "$dir" --numeric-owner -cf - . | docker import "${options[@]}" - "longshore-test/$name:1"
}

# foreign_image ARCHITECTURE DIR: the busybox image under another architecture's label. `docker
# import --platform` of old engines takes the option and forgets it, so the saved image is edited.
foreign_image() {
  docker save longshore-test/busybox:1 -o "$2/saved.tar"
  /usr/bin/python3 - "$1" "$2/saved.tar" <<'EOS' | docker load
import hashlib, io, json, sys, tarfile
architecture, saved = sys.argv[1:]
source = tarfile.open(saved)
manifest = json.load(source.extractfile("manifest.json"))[0]
config = json.load(source.extractfile(manifest["Config"]))
config["architecture"] = architecture
blob = json.dumps(config).encode()
name = hashlib.sha256(blob).hexdigest() + ".json"
target = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
def add(path, data):
    entry = tarfile.TarInfo(path)
    entry.size = len(data)
    target.addfile(entry, io.BytesIO(data))
layers = []
for number, layer in enumerate(manifest["Layers"]):
    layers.append(f"{number}/layer.tar")
    add(layers[-1], source.extractfile(layer).read())
add(name, blob)
tags = [f"longshore-test/{architecture}:1"]
add("manifest.json", json.dumps([{"Config": name, "RepoTags": tags, "Layers": layers}]).encode())
target.close()
EOS
}
