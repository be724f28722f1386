//! What of a job is masked, whether all of it can be, and what its scripts add. It masks nothing itself.

use crate::agent::protocol::WireSecret;
use crate::engine::Engine;
use crate::plan::Role;
use crate::secrets::masker::{MAX_INLINE_VALUE, MIN_UNREMARKABLE};
use crate::secrets::{Fetched, MaskOptions, MaskSet, Secret, Unmaskable};
use crate::settings::MaskingSettings;

use super::call::Call;
use super::error::CallError;
use super::{attach, sink::RunnerSink};

/// What the settings want to be looked for besides the usual forms.
pub fn options(settings: &MaskingSettings) -> MaskOptions {
    MaskOptions { reversed: settings.reversed, coloured: settings.coloured }
}

/// What of a fetch is to be masked, besides what GitLab marked as masked: the secrets and the credentials
/// used.
///
/// The secrets come last: where the room for all does not do, one of them is refused by its name.
pub fn values(fetched: &Fetched) -> impl Iterator<Item = Secret> {
    let secrets = fetched.secrets.iter().map(|one| one.value.clone());
    fetched.mask_too.iter().cloned().chain(secrets)
}

/// What there is to say about secrets of Vault that stand out of a log too little or too much.
///
/// # Errors
/// The job's: a value that cannot be masked would stand in the log in clear, so the job does not get
/// it, but where the operator is not `strict` about short ones.
pub fn check(set: &MaskSet, fetched: &Fetched, strict: bool) -> Result<Vec<String>, CallError> {
    let mut warnings = Vec::new();
    for secret in &fetched.secrets {
        let name = &secret.name;
        let length = secret.value.expose().trim_ascii().len();
        let unmaskable =
            set.unmaskable().iter().find(|(index, _)| set.values()[*index] == secret.value);
        match unmaskable.map(|(_, why)| *why) {
            Some(Unmaskable::TooShort) if !strict => warnings.push(format!(
                "{name} is not masked in this log: it is too short to be told from other text"
            )),
            Some(Unmaskable::TooShort) => {
                return Err(CallError::job(format!(
                    "the secret {name} is too short to be masked in the job log; store at least 4 bytes, \
                     or set [masking] strict = false to let it be printed"
                )));
            }
            Some(Unmaskable::TooLarge) => {
                return Err(CallError::job(format!(
                    "the secret {name} is too large to be masked in the job log; store less than 1 MiB \
                     in all"
                )));
            }
            None if length < MIN_UNREMARKABLE => warnings.push(format!(
                "{name} has less than {MIN_UNREMARKABLE} bytes: other text that holds them is masked too"
            )),
            None if length > MAX_INLINE_VALUE => warnings.push(format!(
                "{name} is longer than {} KiB: its lines are masked one by one, short ones not",
                MAX_INLINE_VALUE >> 10
            )),
            None => {}
        }
    }
    Ok(warnings)
}

/// Tells the other container of the job what a stage's scripts added to the values to be masked.
///
/// A failure is said in the log and no more: the container that knows them is the one that runs scripts.
pub async fn share<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    (added, from): (Vec<WireSecret>, Role),
    sink: &RunnerSink,
) {
    call.masks.add(added.iter().map(|value| value.0.clone()));
    if added.is_empty() || call.plan.helper_image.is_none() {
        return;
    }
    let other = if from == Role::Job { Role::Helper } else { Role::Job };
    let container = call.plan.container_name(other);
    let told = async {
        let (mut agent, _) = attach::open(engine, &container).await?;
        agent.mask(added).await.map_err(|error| attach::failure(&container, &error))
    };
    if let Err(error) = told.await {
        // Where the runner takes no line any more, its next write says so.
        let line =
            format!("longshore: warning: a value added by `mask add` is not masked there: {error}");
        drop(sink.line(&line).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::FetchedSecret;

    fn checked(values: &[&[u8]], strict: bool) -> Result<Vec<String>, CallError> {
        let secret = |(index, value): (usize, &&[u8])| FetchedSecret {
            name: format!("S{index}"),
            value: Secret::new(*value),
        };
        let secrets = values.iter().enumerate().map(secret).collect();
        let fetched = Fetched { secrets, ..Fetched::default() };
        let others = [Secret::new("abc"), Secret::new("a credential")];
        let values = fetched.secrets.iter().map(|one| one.value.clone());
        check(&MaskSet::new(others.into_iter().chain(values).collect()), &fetched, strict)
    }

    fn refusal(values: &[&[u8]], strict: bool) -> String {
        checked(values, strict).unwrap_err().to_string()
    }

    #[test]
    fn a_secret_that_cannot_be_masked_is_refused_by_its_name() {
        assert!(refusal(&[b"long enough", b" xyz "], true).contains("S1 is too short"));
        let line = |number: usize| format!("{:063}\n", number * 7_919 + 1);
        let huge: String = (0..17_000).map(line).collect();
        for strict in [true, false] {
            assert!(
                refusal(&[b"long enough", huge.as_bytes()], strict).contains("S1 is too large")
            );
        }
    }

    #[test]
    fn what_is_masked_but_for_something_is_warned_of() {
        assert_eq!(checked(&[b"12345678"], true).unwrap(), [""; 0]);
        assert!(checked(&[b"1234567"], true).unwrap()[0].starts_with("S0 has less than 8 bytes"));
        assert!(checked(&[b"123"], false).unwrap()[0].starts_with("S0 is not masked"));
        let long = "a line of more than eight bytes\n".repeat(2200);
        assert!(
            checked(&[long.as_bytes()], true).unwrap()[0].starts_with("S0 is longer than 64 KiB")
        );
    }
}
