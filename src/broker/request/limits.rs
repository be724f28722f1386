//! Reads how much a container may use, of a creation and of an update alike (note 3.3). Pure.

use crate::broker::refusal::Refusal;

use super::fields::Fields;

/// Limits as the job asks for them; 0 asks for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// `Memory`, bytes.
    pub memory: i64,
    /// `MemorySwap`, bytes; -1 for no limit.
    pub memory_swap: i64,
    /// `MemoryReservation`, bytes.
    pub memory_reservation: i64,
    /// `NanoCpus`
    pub nano_cpus: i64,
    /// `CpuQuota` and `CpuPeriod`, microseconds.
    pub cpu_quota: (i64, i64),
    /// `CpuShares`
    pub cpu_shares: i64,
    /// `PidsLimit`
    pub pids: i64,
    /// `ShmSize`, bytes.
    pub shm: i64,
    /// `OomScoreAdj`
    pub oom_score: i64,
    /// `Ulimits`: name, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
}

impl Limits {
    pub(super) fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        let ulimits = fields.objects("Ulimits")?.into_iter().map(|mut one| {
            let name = one.text("Name")?.unwrap_or_default();
            let limit = (name, one.or_zero("Soft")?, one.or_zero("Hard")?);
            one.end()?;
            Ok(limit)
        });
        Ok(Self {
            ulimits: ulimits.collect::<Result<_, Refusal>>()?,
            memory: fields.or_zero("Memory")?,
            memory_swap: fields.or_zero("MemorySwap")?,
            memory_reservation: fields.or_zero("MemoryReservation")?,
            nano_cpus: fields.or_zero("NanoCpus")?,
            cpu_quota: (fields.or_zero("CpuQuota")?, fields.or_zero("CpuPeriod")?),
            cpu_shares: fields.or_zero("CpuShares")?,
            pids: fields.or_zero("PidsLimit")?,
            shm: fields.or_zero("ShmSize")?,
            oom_score: fields.or_zero("OomScoreAdj")?,
        })
    }
}
