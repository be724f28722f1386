//! Whether there is room for one more job, by what the jobs may use. Pure: it is told what runs.

use std::fmt;

use serde::Serialize;

use crate::settings::{AdmissionSettings, ByteSize, Capacity};

use super::JobPlan;
use super::container::{Labels, LimitPlan};

/// What a job may use at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// CPUs in billionths.
    pub nano_cpus: u64,
}

const MEMORY: &str = "longshore.weight.memory";
const CPUS: &str = "longshore.weight.cpus";

impl Weight {
    fn of(limits: &LimitPlan) -> Self {
        Self {
            memory_bytes: limits.memory_bytes.unwrap_or(0),
            nano_cpus: limits.nano_cpus.unwrap_or(0),
        }
    }

    /// Of a whole job. Its own container and the helper take turns, so the larger of them counts.
    fn of_job(job: &LimitPlan, helper: &LimitPlan, services: impl Iterator<Item = Self>) -> Self {
        let (job, helper) = (Self::of(job), Self::of(helper));
        let larger = Self {
            memory_bytes: job.memory_bytes.max(helper.memory_bytes),
            nano_cpus: job.nano_cpus.max(helper.nano_cpus),
        };
        services.fold(larger, Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            nano_cpus: self.nano_cpus.saturating_add(other.nano_cpus),
        }
    }

    /// Writes it on the labels of a job's container, by which later jobs know it.
    pub fn write(self, labels: &mut Labels) {
        labels.insert(MEMORY.to_owned(), self.memory_bytes.to_string());
        labels.insert(CPUS.to_owned(), self.nano_cpus.to_string());
    }

    /// Reads it from labels; nothing where they tell none.
    pub fn read(labels: &Labels) -> Self {
        let number = |key: &str| labels.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self { memory_bytes: number(MEMORY), nano_cpus: number(CPUS) }
    }
}

impl JobPlan {
    /// What this job may use.
    pub fn weight(&self) -> Weight {
        let services = self.services.iter().map(|service| Weight::of(&service.limits));
        let helper = self.helper_image.as_ref().map(|_helper| &self.helper_limits);
        Weight::of_job(&self.limits, helper.unwrap_or(&self.limits), services)
    }
}

/// What this host lets jobs have at once; `None` is without a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    jobs: Option<u64>,
    memory_bytes: Option<u64>,
    nano_cpus: Option<u64>,
}

/// What one more job would have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// As many jobs run as may.
    Jobs {
        /// So many.
        running: u64,
    },
    /// The jobs' limits of memory would come to more than they may, in bytes.
    Memory {
        /// What this job may use.
        asked: u64,
        /// What is left.
        left: u64,
        /// What there is.
        of: u64,
    },
    /// The same of CPUs, in billionths.
    Cpus {
        /// What this job may use.
        asked: u64,
        /// What is left.
        left: u64,
        /// What there is.
        of: u64,
    },
}

impl Room {
    /// The operator's limits for a host that has so much.
    pub fn of(settings: &AdmissionSettings, host: Capacity) -> Self {
        let memory =
            settings.memory.map(|all| all.amount().unwrap_or(ByteSize(host.memory_bytes)).0);
        let cpus = settings.cpus.map(|all| all.amount().unwrap_or(f64::from(host.cpus)));
        Self {
            jobs: settings.max_jobs.map(u64::from),
            memory_bytes: memory,
            nano_cpus: cpus.map(billionths),
        }
    }

    /// What a job of this weight lacks beside those that run. One that alone is more than there may be is
    /// let in where it is alone.
    pub fn lack(&self, running: &[Weight], asked: Weight) -> Option<Lack> {
        let count = u64::try_from(running.len()).unwrap_or(u64::MAX);
        if self.jobs.is_some_and(|most| count >= most) {
            return Some(Lack::Jobs { running: count });
        }
        if running.is_empty() {
            return None;
        }
        let used = running.iter().copied().fold(Weight::default(), Weight::and);
        let left = |all: Option<u64>, used: u64, asked: u64| {
            let of = all?;
            let left = of.saturating_sub(used);
            (asked > left).then_some((left, of))
        };
        if let Some((left, of)) = left(self.memory_bytes, used.memory_bytes, asked.memory_bytes) {
            return Some(Lack::Memory { asked: asked.memory_bytes, left, of });
        }
        let (left, of) = left(self.nano_cpus, used.nano_cpus, asked.nano_cpus)?;
        Some(Lack::Cpus { asked: asked.nano_cpus, left, of })
    }
}

/// Room and limits are written with few digits; what is lost beyond the ninth is nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the settings' check lets no negative number through, and a cast saturates"
)]
fn billionths(cpus: f64) -> u64 {
    (cpus * 1e9) as u64
}

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Jobs { running } => {
                write!(formatter, "{running} jobs run, and no more may (admission.max_jobs)")
            }
            Self::Memory { asked, left, of } => write!(
                formatter,
                "this job may use {} of memory, and {} of {} is left (admission.memory)",
                size(asked),
                size(left),
                size(of)
            ),
            Self::Cpus { asked, left, of } => write!(
                formatter,
                "this job may use {} CPUs, and {} of {} are left (admission.cpus)",
                cpus(asked),
                cpus(left),
                cpus(of)
            ),
        }
    }
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn cpus(nano: u64) -> String {
    format!("{}.{}", nano / 1_000_000_000, nano / 100_000_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const CPU: u64 = 1_000_000_000;

    fn weight(gibibytes: u64, cpus: u64) -> Weight {
        Weight { memory_bytes: gibibytes * GIB, nano_cpus: cpus * CPU }
    }

    #[test]
    fn without_limits_nothing_is_lacking() {
        let running = vec![weight(1000, 1000); 1000];
        assert_eq!(Room::default().lack(&running, weight(1000, 1000)), None);
    }

    #[test]
    fn each_limit_is_kept() {
        let room = Room { jobs: Some(3), memory_bytes: Some(8 * GIB), nano_cpus: Some(4 * CPU) };
        let running = [weight(4, 1), weight(2, 1)];
        assert_eq!(room.lack(&running, weight(2, 2)), None);
        assert_eq!(
            room.lack(&running, weight(3, 2)),
            Some(Lack::Memory { asked: 3 * GIB, left: 2 * GIB, of: 8 * GIB })
        );
        assert_eq!(
            room.lack(&running, weight(2, 3)),
            Some(Lack::Cpus { asked: 3 * CPU, left: 2 * CPU, of: 4 * CPU })
        );
        let three = [weight(0, 0); 3];
        assert_eq!(room.lack(&three, weight(0, 0)), Some(Lack::Jobs { running: 3 }));
    }

    #[test]
    fn a_job_that_is_more_than_the_whole_runs_alone() {
        let room = Room { memory_bytes: Some(GIB), ..Room::default() };
        assert_eq!(room.lack(&[], weight(2, 0)), None);
        assert!(room.lack(&[weight(0, 0)], weight(2, 0)).is_some());
        // And nobody beside it.
        assert!(room.lack(&[weight(2, 0)], weight(1, 0)).is_some());
    }

    #[test]
    fn services_add_up_and_the_helper_takes_turns() {
        let limits = |gibibytes: u64| LimitPlan {
            memory_bytes: Some(gibibytes * GIB),
            nano_cpus: Some(CPU),
            ..LimitPlan::default()
        };
        let services = [Weight::of(&limits(2)), Weight::of(&LimitPlan::default())];
        let whole = Weight::of_job(&limits(1), &limits(4), services.into_iter());
        assert_eq!(whole, weight(6, 2));
    }

    #[test]
    fn what_is_written_on_labels_is_read_again() {
        let mut labels = Labels::new();
        weight(3, 2).write(&mut labels);
        assert_eq!(Weight::read(&labels), weight(3, 2));
        labels.insert(MEMORY.to_owned(), "much".to_owned());
        assert_eq!(Weight::read(&labels), weight(0, 2));
    }

    #[test]
    fn auto_is_the_whole_host() {
        let host = Capacity { memory_bytes: 16 * GIB, cpus: 6 };
        let settings = AdmissionSettings {
            memory: Some(crate::settings::Share::Auto),
            cpus: Some(crate::settings::Share::Amount(1.5)),
            ..AdmissionSettings::default()
        };
        let room = Room::of(&settings, host);
        assert_eq!((room.memory_bytes, room.nano_cpus), (Some(16 * GIB), Some(1_500_000_000)));
    }

    #[test]
    fn what_is_lacking_is_told_with_its_key() {
        let told = Lack::Memory { asked: 3 * GIB, left: GIB, of: 8 * GIB }.to_string();
        assert!(told.contains("3072 MiB") && told.contains("admission.memory"), "{told}");
        let told = Lack::Cpus { asked: 2 * CPU, left: CPU / 2, of: 8 * CPU }.to_string();
        assert!(told.contains("2.0 CPUs, and 0.5 of 8.0"), "{told}");
    }
}
