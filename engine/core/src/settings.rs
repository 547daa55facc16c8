//! What operators set for a whole server and decisions depend on.

use jobbie_proto::limits::{LEASE_EXPIRIES_MAX, RETENTION_MS};

/// Settings of a leader, given to what decides. They may differ from one start to the next: absorbing knows none of them, as it
/// is told what was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long dead and cancelled jobs, and batches that have ended, are kept, in milliseconds
    /// ([`RETENTION_MS_MIN`](jobbie_proto::limits::RETENTION_MS_MIN) to
    /// [`RETENTION_MS_MAX`](jobbie_proto::limits::RETENTION_MS_MAX)). Longer takes memory and pins the log.
    pub retention_ms: u64,
    /// Leases of a job that must have run out, with no attempt left, before it is quarantined
    /// (up to [`LEASE_EXPIRIES_MAX_MAX`](jobbie_proto::limits::LEASE_EXPIRIES_MAX_MAX)); 0 is never.
    pub lease_expiries_max: u32,
    /// Whether schedules wait, because there is no room for what they make. What they miss meanwhile is missed as while nobody was there.
    pub schedules_wait: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention_ms: RETENTION_MS,
            lease_expiries_max: LEASE_EXPIRIES_MAX,
            schedules_wait: false,
        }
    }
}
