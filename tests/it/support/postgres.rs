//! A real database: `PostgreSQL`, one for a test, on a port of its own, gone with the test.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::bao::write_private;

/// The administrator's password.
pub const ADMIN_PASSWORD: &str = "password-of-the-administrator";

/// A running server.
pub struct Postgres {
    child: Child,
    _directory: TempDir,
    port: u16,
}

/// A program of the newest `PostgreSQL` that Debian's packages have put here.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let paths = versions.map(|version| version.unwrap().path().join("bin").join(name));
    let newest = paths.filter(|path| path.is_file()).max();
    newest.expect("no PostgreSQL: run script/test, or apt-get install postgresql")
}

/// The user that it runs as; it refuses to be root.
fn account() -> (u32, u32) {
    let home = std::fs::metadata("/var/lib/postgresql").expect("the home of its package's user");
    (home.uid(), home.gid())
}

fn as_its_user(name: &str) -> Command {
    let (uid, gid) = account();
    let mut command = Command::new(program(name));
    command.uid(uid).gid(gid).current_dir("/").env_clear().env("LC_ALL", "C.UTF-8");
    command
}

impl Postgres {
    pub fn start() -> Self {
        // Between our look and the server's bind somebody may take the port.
        (0..5).find_map(|_| Self::try_start()).expect("PostgreSQL does not start")
    }

    fn try_start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (uid, gid) = account();
        chown(directory.path(), Some(uid), Some(gid)).unwrap();
        let password = directory.path().join("password");
        write_private(&password, ADMIN_PASSWORD);
        chown(&password, Some(uid), Some(gid)).unwrap();
        let data = directory.path().join("data");
        let mut made = as_its_user("initdb");
        made.args(["--no-sync", "--encoding=UTF8", "--username=postgres"]);
        made.args(["--auth=scram-sha-256", "--pwfile"]).arg(&password).arg("--pgdata").arg(&data);
        let made = made.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = as_its_user("postgres");
        server.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        server.args(["-F", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("ready to accept connections")) {
            child.wait().unwrap();
            return None;
        }
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, _directory: directory, port })
    }

    /// Where the engine of a Vault reaches it, with its own places for user and password.
    pub fn connection_url(&self) -> String {
        let place = format!("127.0.0.1:{}/postgres?sslmode=disable", self.port);
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@{place}")
    }

    /// What a user is answered; empty where it is not let in.
    pub fn asked(&self, user: &str, password: &str, sql: &str) -> String {
        let mut psql = Command::new(program("psql"));
        psql.args(["-h", "127.0.0.1", "-d", "postgres", "-w", "-A", "-t", "-q", "-X"]);
        psql.arg("-p").arg(self.port.to_string()).arg("-U").arg(user).arg("-c").arg(sql);
        psql.env_clear().env("PGPASSWORD", password);
        let output: Output = psql.output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// When a user ends, in Unix seconds.
    pub fn ends(&self, user: &str) -> u64 {
        let when = "SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles";
        let sql = format!("{when} WHERE rolname = '{user}'");
        self.asked("postgres", ADMIN_PASSWORD, &sql).parse().unwrap()
    }

    /// How many users that an engine made there are.
    pub fn made_users(&self) -> String {
        let sql = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'";
        self.asked("postgres", ADMIN_PASSWORD, sql)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}
