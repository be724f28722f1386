//! Certificates of a test's own, for both sides of TLS: an authority, what it signed for a server, what it
//! signed for a client. They are gone with this value.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An authority and what it has signed.
pub(crate) struct Authority {
    directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = TempDir::with_prefix("longshore-test-tls-").unwrap();
        let authority = Self { directory };
        let words = ["req", "-x509", "-subj", "/CN=authority", "-days", "2", "-out", "ca.pem"];
        authority.openssl(&[&words[..], &KEY, &["-keyout", "ca-key.pem"]].concat());
        authority
    }

    /// Signs for a server of these names (`IP:...`, `DNS:...`): `server.pem` and `server-key.pem`.
    pub(crate) fn server(self, names: &str) -> Self {
        self.sign("server", &format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"));
        self
    }

    /// Signs for a client: a directory of `ca.pem`, `cert.pem` and `key.pem`.
    pub(crate) fn client(&self) -> PathBuf {
        self.sign("client", "extendedKeyUsage=clientAuth\n");
        let directory = self.path("of-client");
        std::fs::create_dir(&directory).unwrap();
        for (from, to) in [("ca", "ca"), ("client", "cert"), ("client-key", "key")] {
            let to = directory.join(format!("{to}.pem"));
            std::fs::copy(self.path(&format!("{from}.pem")), to).unwrap();
        }
        directory
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn sign(&self, name: &str, extensions: &str) {
        let file = |kind: &str| format!("{name}{kind}");
        std::fs::write(self.path(&file(".ext")), extensions).unwrap();
        let (key, request) = (file("-key.pem"), file(".csr"));
        let (certificate, extensions) = (file(".pem"), file(".ext"));
        let words = ["req", "-subj", "/CN=one", "-out", &request, "-keyout", &key];
        self.openssl(&[&words[..], &KEY].concat());
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &extensions,
            "-out",
            &certificate,
        ]);
    }

    fn openssl(&self, words: &[&str]) {
        let mut command = Command::new("openssl");
        let output = command.args(words).current_dir(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "openssl {words:?}: {output:?}");
    }
}

const KEY: [&str; 5] = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/// What `dockerd` is told to listen with, at port 2376.
pub(crate) fn dockerd_options(authority: &Authority) -> [String; 5] {
    let file = |option: &str, name: &str| format!("{option}={}", authority.path(name).display());
    [
        "--host=tcp://0.0.0.0:2376".to_owned(),
        "--tlsverify".to_owned(),
        file("--tlscacert", "ca.pem"),
        file("--tlscert", "server.pem"),
        file("--tlskey", "server-key.pem"),
    ]
}

/// A directory without the files of a client.
pub(crate) fn authority_alone(directory: &Path) -> PathBuf {
    let alone = directory.with_file_name("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::copy(directory.join("ca.pem"), alone.join("ca.pem")).unwrap();
    alone
}
