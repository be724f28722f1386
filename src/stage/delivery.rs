//! From fetched values to what the job's agent is handed: variables and files. It refuses what cannot be
//! delivered before any container is there.

use crate::agent::protocol::{SecretFile, SecretVariable};
use crate::plan::{SecretForm, SecretRef};
use crate::secrets::FetchedSecret;

use super::error::CallError;

/// Longest value of a variable. The kernel refuses to start a program with one of 128 KiB, in words that
/// help nobody; and what is longer is no password but a file.
const LONGEST_VARIABLE: usize = 64 * 1024;

/// A job's secrets, sorted by how it gets them.
#[derive(Debug, Default)]
pub struct Delivery {
    /// For the environment.
    pub variables: Vec<SecretVariable>,
    /// For the tmpfs.
    pub files: Vec<SecretFile>,
}

/// Refuses values that no environment can carry.
///
/// # Errors
/// The job's fault, as it is when its secret does not exist.
pub fn check(wanted: &[SecretRef], fetched: &[FetchedSecret]) -> Result<(), CallError> {
    for (secret, one) in wanted.iter().zip(fetched) {
        if secret.form != SecretForm::Variable {
            continue;
        }
        let value = one.value.expose();
        let problem = if value.contains(&0) {
            "holds a NUL byte, which no environment variable can carry".to_owned()
        } else if value.len() > LONGEST_VARIABLE {
            let kib = LONGEST_VARIABLE / 1024;
            format!("is {} bytes long, and an environment variable may have {kib} KiB", value.len())
        } else {
            continue;
        };
        return Err(CallError::job(format!(
            "the secret {} {problem}\n  the operator of this runner can give it as a file: as = \"file\" in \
             [secrets]",
            secret.name
        )));
    }
    Ok(())
}

/// Sorts the values, which stand in the order of `wanted`.
pub fn of(wanted: &[SecretRef], fetched: Vec<FetchedSecret>) -> Delivery {
    let mut delivery = Delivery::default();
    for (secret, FetchedSecret { name, value }) in wanted.iter().zip(fetched) {
        match (secret.form, secret.file()) {
            (SecretForm::File { mode }, Some(path)) => {
                delivery.files.push(SecretFile { path, mode: mode.0, content: value.into() });
            }
            _ => delivery.variables.push(SecretVariable { name, value: value.into() }),
        }
    }
    delivery
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FileMode;
    use crate::secrets::Secret;

    fn wanted(form: SecretForm) -> Vec<SecretRef> {
        let (name, path) = ("NAME".to_owned(), "kv/a".to_owned());
        let parameters = std::collections::BTreeMap::new();
        vec![SecretRef { name, path, field: None, version: None, kv: None, parameters, form }]
    }

    fn fetched(value: impl Into<Vec<u8>>) -> Vec<FetchedSecret> {
        vec![FetchedSecret { name: "NAME".to_owned(), value: Secret::new(value) }]
    }

    #[test]
    fn a_variable_has_its_limits_and_a_file_has_none() {
        let (variable, file) =
            (SecretForm::Variable, SecretForm::File { mode: FileMode::default() });
        for (value, word) in [
            (b"a\0b".to_vec(), "NUL byte"),
            (vec![b'x'; LONGEST_VARIABLE + 1], "is 65537 bytes long"),
        ] {
            let error = check(&wanted(variable), &fetched(value.clone())).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("as = \"file\""), "{error}");
            check(&wanted(file), &fetched(value)).unwrap();
        }
        check(&wanted(variable), &fetched(vec![b'x'; LONGEST_VARIABLE])).unwrap();
    }

    #[test]
    fn each_goes_its_way() {
        let file = SecretForm::File { mode: FileMode(0o440) };
        let delivery = of(&wanted(file), fetched("value"));
        assert_eq!(delivery.variables, []);
        assert_eq!(delivery.files[0].path, "/run/secrets/longshore/NAME");
        assert_eq!(delivery.files[0].mode, 0o440);
        let delivery = of(&wanted(SecretForm::Variable), fetched("value"));
        assert_eq!(delivery.files, []);
        assert_eq!(delivery.variables[0].name, "NAME");
    }
}
