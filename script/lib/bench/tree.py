"""What the shipped binary is made of: its crates and the TLS providers among them."""

import os
import subprocess

from figures import row

PROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3)

# Crates that do the cryptography of TLS, whatever speaks the protocol above them.
PROVIDERS = {
    "aws-lc-rs", "aws-lc-sys", "boring", "graviola", "mbedtls", "native-tls", "openssl", "openssl-sys",
    "ring", "rustls-openssl", "rustls-symcrypt", "s2n-tls", "schannel", "security-framework", "wolfssl",
}


def crates() -> set[tuple[str, str]]:
    """Name and version of each crate in the tree, ours included."""
    command = ["cargo", "tree", "-e", "normal", "--prefix", "none", "--locked", "--offline"]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    # A crate met before is listed again with a mark behind it.
    return {tuple(line.split()[:2]) for line in listed.splitlines() if line}


def rows(_options) -> list[dict]:
    """Crates and TLS providers in the shipped binary's tree."""
    tree = crates()
    providers = sorted({name for name, _ in tree} & PROVIDERS)
    return [
        row("crates in the shipped binary's tree", len(tree), 200, "crates"),
        row("TLS providers", len(providers), 1, "crates", providers=providers),
    ]
