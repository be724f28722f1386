//! Users of a real database, made for one job by Vault's engine: they work while the job runs, are renewed
//! meanwhile, and are gone with it.

use std::time::Duration;

use longshore::secrets::vault::VaultSettings;
use serde_json::json;

use crate::support::bao::Bao;
use crate::support::postgres::{ADMIN_PASSWORD, Postgres};
use crate::support::real::{Host, assert_says, await_gone, busybox};
use crate::support::running::JobStatus;
use crate::support::waiting::await_that;

const SOON: Duration = Duration::from_mins(1);

/// Users end after this, unless they are renewed, which is due after a third of it.
const TERM: &str = "15s";

async fn database(database: &Postgres) -> (Bao, VaultSettings) {
    let bao = Bao::start();
    bao.admin("POST", "sys/mounts/database", json!({"type": "database"})).await;
    let connection = json!({"plugin_name": "postgresql-database-plugin", "allowed_roles": "*",
        "connection_url": database.connection_url(), "username": "postgres", "password": ADMIN_PASSWORD});
    bao.admin("POST", "database/config/app", connection).await;
    let creation =
        "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
    let role = json!({"db_name": "app", "creation_statements": [creation], "default_ttl": TERM, "max_ttl": "1h"});
    bao.admin("POST", "database/roles/app", role).await;
    let policy = "path \"database/creds/app\" { capabilities = [\"read\"] }";
    let settings = bao.role("", policy, json!({})).await;
    (bao, settings)
}

fn host(vault: &VaultSettings) -> Host {
    Host::new().in_memory().vault(vault).table(
        "[secrets]\nDB_USER = \"database/creds/app#username\"\nDB_PASSWORD = \"database/creds/app#password\"\n",
    )
}

#[tokio::test]
async fn a_database_user_lives_as_long_as_its_job() {
    let postgres = Postgres::start();
    let (bao, settings) = database(&postgres).await;
    let host = host(&settings);
    // Backwards, which is not masked unless it is asked for: the test wants to see it.
    let script =
        ["echo \"it is $DB_USER\"; echo \"$DB_USER $DB_PASSWORD:nigeb\" | rev", "sleep 300"];
    let job = busybox(script).variable("LONGSHORE_SECRETS", "DB_USER,DB_PASSWORD");
    let running = host.runner().start(&job);
    running.wait_for_output("begin:", SOON);
    running.wait_for_output("\nit is [MASKED]", SOON);
    let seen = running.output_so_far();
    let line = seen.lines().find_map(|line| line.strip_prefix("begin:")).unwrap();
    let line: String = line.trim().chars().rev().collect();
    let (user, password) = line.split_once(' ').unwrap();
    let first_end = postgres.ends(user);
    assert!(user.starts_with("v-approle-app-"), "{user}");
    assert_eq!(postgres.asked(user, password, "SELECT current_user"), user);
    // One request for both, and nothing ends while the job runs.
    let reads = bao.audited("database/creds/app");
    assert_eq!(reads.iter().filter(|one| one["request"]["operation"] == "read").count(), 1);
    // Its lease is renewed, and with it the database's own word on when the user ends.
    await_that("a renewal", || postgres.ends(user) > first_end);
    assert_eq!(postgres.asked(user, password, "SELECT 1"), "1");
    assert_eq!((host.kept_tokens().len(), bao.logins_and_revokes()), (1, (1, 0)));
    assert_eq!(postgres.made_users(), "1");

    running.cancel();
    let result = running.join();
    assert_eq!(result.status, JobStatus::Canceled);
    await_that("the end of the user", || postgres.made_users() == "0");
    assert_eq!(postgres.asked(user, password, "SELECT 1"), "");
    await_that("the end of the token", || host.kept_tokens().is_empty());
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    await_gone(&job);
    for value in [user, password] {
        assert!(!host.ledger().contains(value) && !result.trace_text().contains(value));
    }
    assert_says(&host.ledger(), &[r#""secrets":["DB_USER","DB_PASSWORD"]"#]);
}
