//! Whom stages run as, and what Init puts into the container.

use longshore::agent::client::ClientError;
use longshore::agent::protocol::{ExitStatus, Identity, Refusal, SecretFile};

use crate::agent_support::{Container, plain_init, run, secret, stage};

/// An agent as PID 1 with an /etc of its own, so that nothing here touches the machine's.
fn container() -> (Container, tempfile::TempDir) {
    let etc = tempfile::tempdir().unwrap();
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    std::fs::write(etc.path().join("passwd"), passwd).unwrap();
    std::fs::write(etc.path().join("group"), "root:x:0:\nextra:x:44:app\napp:x:1001:\n").unwrap();
    (Container::start_with_etc(etc.path()), etc)
}

/// What a stage of this identity says of itself.
const WHO: &str =
    "id -u; id -g; id -G; echo \"$HOME\"; grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status";

const NO_CAPABILITIES: &str = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                               CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n";

async fn who(identity: Identity) -> String {
    let (container, _etc) = container();
    let mut init = plain_init();
    init.identity = identity;
    let mut client = container.ready(init).await;
    let (exit, kept) = run(&mut client, stage("build_script", WHO)).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0), "{:?}", kept.stderr);
    kept.text()
}

#[tokio::test]
async fn a_named_user_has_its_groups_and_home_and_no_capability() {
    let said = who(Identity::Image("app".into())).await;
    assert_eq!(said, format!("1000\n1001\n1001 44\n/home/app\n{NO_CAPABILITIES}"));
}

#[tokio::test]
async fn a_given_group_replaces_them() {
    let said = who(Identity::Image("1000:55".into())).await;
    assert_eq!(said, format!("1000\n55\n55\n/home/app\n{NO_CAPABILITIES}"));
}

#[tokio::test]
async fn an_unknown_number_gets_group_0_and_the_root_directory() {
    let said = who(Identity::Image("4242".into())).await;
    assert_eq!(said, format!("4242\n0\n0\n/\n{NO_CAPABILITIES}"));
}

#[tokio::test]
async fn an_unknown_name_is_refused() {
    let (container, _etc) = container();
    let (mut client, _) = container.connect().await;
    let mut init = plain_init();
    init.identity = Identity::Image("nosuch".into());
    let refused = client.init(init).await;
    let refusal = Refusal::UnknownUser { user: "nosuch".into() };
    assert!(matches!(&refused, Err(ClientError::Refused(found)) if *found == refusal));
    // Nothing was initialised: a right one may follow.
    let report = client.init(plain_init()).await.unwrap();
    assert_eq!((report.uid, report.shell.as_deref()), (0, Some("/usr/bin/bash")));
}

#[tokio::test]
async fn a_borrowed_identity_gets_a_home_and_a_passwd_line() {
    let (container, etc) = container();
    let mut init = plain_init();
    init.identity = Identity::Numeric { uid: 2000, gid: 3000 };
    let mut client = container.ready(init).await;
    let script = "id -u; id -g; id -un; touch \"$HOME/x\" && stat -c '%u:%g %a' \"$HOME\"";
    let (exit, kept) = run(&mut client, stage("get_sources", script)).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0), "{:?}", kept.stderr);
    assert_eq!(kept.text(), "2000\n3000\njob\n2000:3000 700\n");
    let passwd = std::fs::read_to_string(etc.path().join("passwd")).unwrap();
    assert!(passwd.ends_with("job:x:2000:3000::/home/longshore-2000:/bin/sh\n"), "{passwd}");
}

#[tokio::test]
async fn directories_belong_to_the_user_and_files_have_umask_0022() {
    let (container, _etc) = container();
    let root = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).unwrap();
    let project = root.path().join("group/project").display().to_string();
    let mut init = plain_init();
    init.identity = Identity::Image("app".into());
    init.directories = vec![project.clone(), format!("{project}.tmp")];
    let mut client = container.ready(init).await;
    let script = format!("cd {project} && touch file && stat -c '%U:%g %a' . ../project.tmp file");
    let (exit, kept) = run(&mut client, stage("get_sources", script)).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0), "{:?}", kept.stderr);
    assert_eq!(kept.text(), "app:1001 755\napp:1001 755\napp:1001 644\n");
}

#[tokio::test]
async fn a_secret_file_is_the_users_own() {
    let (container, _etc) = container();
    let mut init = plain_init();
    init.identity = Identity::Image("app".into());
    let path = "/home/secrets/key".to_owned(); // /home is a tmpfs there
    init.files.push(SecretFile { path, mode: 0o400, content: secret("0123456789") });
    let mut client = container.ready(init).await;
    let script = "stat -c '%U:%g %a %s' /home/secrets/key; wc -c < /home/secrets/key";
    let (exit, kept) = run(&mut client, stage("build_script", script)).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0), "{:?}", kept.stderr);
    assert_eq!(kept.text(), "app:1001 400 10\n10\n");
}

#[tokio::test]
async fn no_secret_is_written_to_a_disk() {
    let (container, _etc) = container();
    let (mut client, _) = container.connect().await;
    let mut init = plain_init();
    let path = format!("{}/agent-secret-on-disk", env!("CARGO_TARGET_TMPDIR"));
    init.files.push(SecretFile { path: path.clone(), mode: 0o400, content: secret("x") });
    let refused = client.init(init).await;
    let refusal = Refusal::NotTmpfs { path: path.clone() };
    assert!(matches!(&refused, Err(ClientError::Refused(found)) if *found == refusal));
    assert!(!std::path::Path::new(&path).exists());
}

#[tokio::test]
async fn nobody_in_the_job_can_read_pid_1() {
    for user in ["root", "app"] {
        let (container, _etc) = container();
        let mut init = plain_init();
        init.identity = Identity::Image(user.into());
        let mut client = container.ready(init).await;
        let script = "for f in environ auxv maps; do \
                      head -c 1 /proc/1/$f > /dev/null 2>&1 && echo read $f; done; \
                      (: < /proc/1/fd/0) 2> /dev/null && echo opened its input; \
                      (: > /proc/1/fd/1) 2> /dev/null && echo opened its output; \
                      head -c 1 /proc/self/environ > /dev/null && echo done";
        let (exit, kept) = run(&mut client, stage("build_script", script)).await;
        assert_eq!(exit.unwrap().status, ExitStatus::Code(0), "{user}");
        assert_eq!(kept.text(), "done\n", "{user}");
    }
}
