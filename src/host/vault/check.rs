//! `longshore vault check`: asks what a job would ask, tells what it found, and leaves no token.

use std::cmp::Reverse;

use super::Host;
use super::findings::{self, Capabilities, Finding, Severity, finding};
use super::policy::{self, Stanza};
use super::report::{Report, SecretState, Server};
use crate::secrets::vault::{LoginFacts, SecretIdFacts, ServerState, VaultError, Visit};
use crate::stage::error::CallError;
use crate::world::unix;

/// A clock that is further off than this is remarked upon.
const CLOCK_MAY_BE_OFF: u64 = 60;

/// The command.
pub(super) async fn check(host: &Host<'_>) -> Result<Report, CallError> {
    // A person waits.
    let limit = host.vault.timeout.min(host.vault.deadline);
    let mut hasty = host.vault.clone();
    hasty.deadline = limit;
    let mut visit = Visit::new(&hasty, limit).map_err(CallError::system)?;
    let state = visit.state().await.map_err(CallError::system)?;
    refuse_closed(&state, visit.at())?;
    let seen = look(host, &mut visit).await;
    let at = visit.at().to_owned();
    let warning = visit.leave().await;
    let seen = seen.map_err(|error| match &warning {
        Some(warning) => CallError::system(format!("{error}; besides, {warning}")),
        None => CallError::system(error),
    })?;
    let mut report = report(host, at, state, seen);
    report.findings.extend(warning.map(|text| finding(Severity::Warning, text)));
    report.findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(report)
}

fn refuse_closed(state: &ServerState, at: &str) -> Result<(), CallError> {
    if !state.initialized {
        let text = format!("the server at {at} was never initialised; run: vault operator init");
        return Err(CallError::system(text));
    }
    if state.sealed {
        let text = format!("the server at {at} is sealed; unseal it: vault operator unseal");
        return Err(CallError::system(text));
    }
    Ok(())
}

/// What a visit saw after its login.
struct Seen {
    login: LoginFacts,
    secret_id: Option<SecretIdFacts>,
    stanzas: Vec<Stanza>,
    allowed: Option<Capabilities>,
}

async fn look(host: &Host<'_>, visit: &mut Visit<'_>) -> Result<Seen, VaultError> {
    let login = visit.login().await?;
    let secret_id = match host.role_name() {
        Some(role) => visit.secret_id(role).await?,
        None => None,
    };
    let layouts = policy::layouts(visit, host.settings).await?;
    let stanzas = policy::of_secrets(host.settings, &layouts);
    let questions = findings::questions(&host.roles(), &stanzas);
    let allowed = visit.capabilities(&questions).await?;
    Ok(Seen { login, secret_id, stanzas, allowed })
}

fn report(host: &Host<'_>, at: String, state: ServerState, seen: Seen) -> Report {
    let now = (host.world.clock)();
    let clock_offset_seconds = state
        .clock_unix
        .map(|theirs| i64::try_from(theirs).unwrap_or(i64::MAX).saturating_sub_unsigned(unix(now)));
    let mut findings: Vec<Finding> = Vec::new();
    if clock_offset_seconds.is_some_and(|offset| offset.unsigned_abs() > CLOCK_MAY_BE_OFF) {
        let text = "this host's clock and the server's are more than a minute apart; certificates and expiries depend on them";
        findings.push(finding(Severity::Warning, text));
    }
    findings.extend(findings::of_login(&seen.login));
    match (&seen.secret_id, host.role_name()) {
        (Some(facts), _) => findings.extend(findings::of_secret_id(facts, now)),
        (None, None) => {
            let text = "when the secret_id expires is not known: write the role's name into vault.approle.role";
            findings.push(finding(Severity::Remark, text));
        }
        (None, Some(role)) => {
            let text = format!(
                "when the secret_id expires is not known: the policy does not let the role {role} look it up \
                 (longshore vault policy --rotate), or it served its last login"
            );
            findings.push(finding(Severity::Remark, text));
        }
    }
    let secrets = readable(host, &seen, &mut findings);
    match &seen.allowed {
        Some(allowed) => {
            findings.extend(findings::too_much(&host.roles(), &seen.stanzas, allowed));
        }
        None => findings.push(finding(
            Severity::Remark,
            "what the policy allows is not known: it lacks sys/capabilities-self (longshore vault policy)",
        )),
    }
    let server = Server { at, version: state.version, clock_offset_seconds };
    let secret_id_from = host.vault.approle.secret_id.place();
    Report {
        server,
        login: seen.login,
        secret_id_from,
        secret_id: seen.secret_id,
        secrets,
        findings,
    }
}

/// Which secrets of the settings can be read, as far as that is known.
fn readable(host: &Host<'_>, seen: &Seen, findings: &mut Vec<Finding>) -> Vec<SecretState> {
    let mut all = Vec::new();
    for name in host.settings.secrets.keys() {
        let stanzas = seen.stanzas.iter().filter(|stanza| stanza.needed_for.contains(name));
        let stanzas: Vec<_> = stanzas.collect();
        let paths: Vec<&str> = stanzas.iter().map(|stanza| stanza.path.as_str()).collect();
        let needs = stanzas.first().and_then(|one| one.capabilities.first()).unwrap_or(&"read");
        let can = |path: &&str| {
            let may = seen.allowed.as_ref().map(|allowed| findings::of(allowed, path));
            may.map(|may| may.contains(needs) || may.contains(&"root"))
        };
        let readable = paths.iter().map(can).try_fold(false, |any, one| Some(any || one?));
        if readable == Some(false) {
            let text = format!(
                "the policy does not let it read {name}; it needs: path \"{}\" {{ capabilities = [\"{needs}\"] }}",
                paths.first().unwrap_or(&"")
            );
            findings.push(finding(Severity::Refused, text));
        }
        let path = paths.join(" or ");
        all.push(SecretState { name: name.clone(), path, readable });
    }
    all
}
