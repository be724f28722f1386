# shellcheck shell=bash
# The Rust toolchain of rust-toolchain.toml: found, else installed by rustup where that can be reached.
# shellcheck source=script/lib/packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

RUST_TARGET=$(uname -m)-unknown-linux-gnu
RELEASE_BINARY=${CARGO_TARGET_DIR:-$LONGSHORE_ROOT/target}/$RUST_TARGET/release/longshore
export RELEASE_BINARY

# rust_channel: the version the project asks for.
rust_channel() { sed -n 's/^channel *= *"\(.*\)"/\1/p' "$LONGSHORE_ROOT/rust-toolchain.toml"; }

# ensure_rust: `cargo` in the project directory is the wanted version, with clippy and rustfmt.
ensure_rust() {
  local channel
  channel=$(rust_channel)
  [[ -n $channel ]] || die "rust-toolchain.toml of $LONGSHORE_ROOT names no channel"
  # a rustup of this user is often not in PATH of a script (sudo, a hook, a CI job)
  if [[ -d ${CARGO_HOME:-$HOME/.cargo}/bin ]]; then PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH; fi
  if cargo_is "$channel"; then
    note "$channel"
    return
  fi
  have rustup || install_rustup
  # one that is there but does not answer is a person's to mend: installing over it would pull the
  # toolchain from under builds that run
  if grep -q "^$channel\(-\| \|\$\)" <<<"$(rustup toolchain list)" ||
    ! timeout 900 rustup toolchain install "$channel" --profile minimal --component clippy,rustfmt ||
    ! cargo_is "$channel"; then
    (cd "$LONGSHORE_ROOT" && RUST_BACKTRACE=0 RUSTUP_AUTO_INSTALL=0 cargo --version) || true
    die "cargo in $LONGSHORE_ROOT is not Rust $channel, and rustup could not make it so" \
      "run: rustup toolchain install $channel --component clippy,rustfmt (or put that version's cargo first in PATH)"
  fi
  note "installed $channel"
}

# cargo_is CHANNEL: does cargo of the project directory have this version (or any, for `stable`)?
cargo_is() {
  local version
  version=$(cd "$LONGSHORE_ROOT" && RUSTUP_AUTO_INSTALL=0 cargo --version 2>/dev/null) || return 1
  [[ ! $1 =~ ^[0-9] || $version == "cargo $1"* ]]
}

# install_rustup: rustup's own installer, for this user, without touching shell profiles.
install_rustup() {
  local installer
  installer=$(mktemp)
  at_exit rm -f "$installer"
  curl -sSf --proto '=https' --max-time 60 -o "$installer" https://sh.rustup.rs ||
    die "there is no Rust toolchain and rustup cannot be reached from here" \
      "install Rust $(rust_channel) with clippy and rustfmt, then run this again"
  sh "$installer" -y --no-modify-path --profile minimal --default-toolchain none
  PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
}

# build_release: $RELEASE_BINARY, static (see .cargo/config.toml), because it also runs inside the jobs' images.
build_release() {
  (cd "$LONGSHORE_ROOT" && cargo build --release --locked --bin longshore --target "$RUST_TARGET")
  is_static "$RELEASE_BINARY" || die "$RELEASE_BINARY is not static" 'is RUSTFLAGS set? then .cargo/config.toml does not count'
  note "$(($(stat -c %s "$RELEASE_BINARY") / 1000000)) MB, static"
}

# is_static PROGRAM: does it need no loader and no library?
is_static() { [[ $(readelf --program-headers "$1") != *INTERP* ]]; }
