//! `longshore vault` as a person calls it, over the settings of a test's server.

use std::path::{Path, PathBuf};

use longshore::secrets::vault::{RoleId, VaultSettings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::bao::write_private;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its number.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The one object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            let (out, err) = (self.stdout.contains(word), self.stderr.contains(word));
            assert!(out || err, "{word:?} is not in {self:?}");
        }
    }
}

/// A directory with settings.
pub struct Person {
    dir: TempDir,
}

impl Person {
    /// Settings for this server and role; `approle` and `tables` are lines of TOML.
    pub fn new(vault: &VaultSettings, approle: &str, tables: &str) -> Self {
        let person = Self { dir: tempfile::tempdir().unwrap() };
        let RoleId::Value(role_id) = &vault.approle.role_id else { panic!("the role's id") };
        let role_id_file = person.path("role_id");
        write_private(&role_id_file, std::str::from_utf8(role_id.expose()).unwrap());
        let run_dir = person.path("run");
        std::fs::create_dir(&run_dir).unwrap();
        let namespace = vault.namespace.as_ref().map(|name| format!("namespace = {name:?}"));
        let text = format!(
            "run_dir = \"{}\"\n[vault]\naddress = \"{}\"\ntimeout = \"2s\"\n{}\n[vault.approle]\n\
             role_id_file = \"{}\"\nsecret_id_file = \"{}\"\n{approle}\n{tables}\n",
            run_dir.display(),
            vault.address,
            namespace.unwrap_or_default(),
            role_id_file.display(),
            vault.approle.secret_id.place(),
        );
        std::fs::write(person.path("settings.toml"), text).unwrap();
        person
    }

    /// Trusts this authority alone.
    pub fn trust(&self, ca: &Path) {
        let settings = self.path("settings.toml");
        let text = std::fs::read_to_string(&settings).unwrap();
        let table = format!("[vault]\nca_file = \"{}\"\n", ca.display());
        std::fs::write(settings, text.replace("[vault]\n", &table)).unwrap();
    }

    /// A file beside the settings.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Calls `longshore vault` with these words, in an environment of its own.
    pub async fn vault(&self, words: &[&str]) -> Ended {
        self.vault_given("", words).await
    }

    /// The same, with this on its standard input.
    pub async fn vault_given(&self, input: &str, words: &[&str]) -> Ended {
        std::fs::write(self.path("input"), input).unwrap();
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_longshore")));
        command.env_clear().env("LONGSHORE_SETTINGS", self.path("settings.toml"));
        command.stdin(std::fs::File::open(self.path("input")).unwrap());
        let output = command.arg("vault").args(words).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
