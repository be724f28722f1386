//! What a job is told when the broker does not do what it asked: rule, place and a way out, and never a
//! value of its own, which may be a secret. Pure.

use serde_json::json;

/// A request that goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's name, as in the README's table; stable.
    pub rule: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do instead. Holds names of fields and objects, never a field's value.
    pub message: String,
    /// Whether it is worth a line in the job log: an object that is not there is none, clients ask for
    /// such all the time.
    pub told: bool,
}

impl Refusal {
    /// What the policy forbids: 403.
    pub fn forbidden(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, status: 403, message: message.into(), told: true }
    }

    /// What is no request: 400.
    pub fn malformed(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, status: 400, message: message.into(), told: true }
    }

    /// What asks for more than a job may have: 429.
    pub fn quota(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, status: 429, message: message.into(), told: true }
    }

    /// With another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Not worth a line in the job log.
    #[must_use]
    pub fn untold(self) -> Self {
        Self { told: false, ..self }
    }

    /// An object that is absent, or another's, which must look the same: the daemon's own words.
    pub fn absent(kind: Absent, name: &str) -> Self {
        let message = match kind {
            Absent::Container => format!("No such container: {name}"),
            Absent::Exec => format!("No such exec instance: {name}"),
            Absent::Image => format!("No such image: {name}"),
            Absent::Network => format!("network {name} not found"),
            Absent::Volume => format!("get {name}: no such volume"),
        };
        Self { rule: "absent", status: 404, message, told: false }
    }

    /// The body of the answer, in the daemon's form.
    pub fn body(&self) -> Vec<u8> {
        let message = match self.rule {
            "absent" => self.message.clone(),
            rule => format!("longshore[{rule}]: {}", self.message),
        };
        json!({ "message": message }).to_string().into_bytes()
    }

    /// The line for the job log.
    pub fn line(&self) -> String {
        format!("the Docker broker refused a request [{}]: {}", self.rule, self.message)
    }
}

/// A kind of object that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// A container.
    Container,
    /// An exec instance.
    Exec,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}
