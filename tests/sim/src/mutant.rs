//! The planted defects, by name.

use jobbie_raft::sim::mutant as raft;
use jobbie_shard::sim as shard;

/// Names of all defects that this build can plant.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    #[cfg(feature = "mutants")]
    {
        use jobbie_core::mutants::Mutant;
        // A simulation has seconds: nothing is purged before its seventh day, what schedules plan are minutes, and days hardly turn.
        let slow = [
            Mutant::PurgedEarly,
            Mutant::ScheduleFiresTwice,
            Mutant::MissedRunsForgotten,
            Mutant::DayNeverTurns,
        ];
        // Nobody in a simulation asks for older errors; the naive model of engine/core does.
        let unseen = [Mutant::OlderErrorsForgotten];
        let found = |mutant: &&Mutant| !slow.contains(mutant) && !unseen.contains(mutant);
        let core = Mutant::ALL.iter().chain(&Mutant::MOVES).chain(&Mutant::RULES).filter(found);
        names.extend(core.map(|mutant| format!("core:{mutant:?}")));
        let log = jobbie_log::mutants::Mutant::ALL;
        names.extend(log.iter().map(|mutant| format!("log:{mutant:?}")));
    }
    names.extend(RAFT.iter().map(|mutant| format!("raft:{mutant:?}")));
    names.extend(shard::Mutant::ALL.iter().map(|mutant| format!("shard:{mutant:?}")));
    names
}

/// A vote reported too early is not among them: in a group of one, the vote and the first entry behind it are one
/// ordered stream, and nothing is served before that entry is durable. Only peers could be voted for twice.
const RAFT: [raft::Mutant; 1] = [raft::Mutant::CallbackBeforeFlush];

/// Runs `body` with the defect in place.
///
/// # Errors
/// When there is none of that name in this build.
pub(crate) fn with<T>(name: &str, body: impl FnOnce() -> T) -> Result<T, String> {
    let is = |layer: &str, mutant: &dyn std::fmt::Debug| format!("{layer}:{mutant:?}") == name;
    if let Some(mutant) = RAFT.iter().find(|mutant| is("raft", mutant)) {
        return Ok(raft::with_mutant(*mutant, body));
    }
    if let Some(mutant) = shard::Mutant::ALL.iter().find(|mutant| is("shard", mutant)) {
        shard::plant(Some(*mutant));
        return Ok(body());
    }
    #[cfg(feature = "mutants")]
    {
        use jobbie_core::mutants as core;
        use jobbie_log::mutants as log;
        let mut all =
            core::Mutant::ALL.iter().chain(&core::Mutant::MOVES).chain(&core::Mutant::RULES);
        if let Some(mutant) = all.find(|mutant| is("core", mutant)) {
            core::plant(Some(*mutant));
            return Ok(body());
        }
        if let Some(mutant) = log::Mutant::ALL.iter().find(|mutant| is("log", mutant)) {
            log::plant(Some(*mutant));
            return Ok(body());
        }
    }
    Err(format!("no mutant {name} in this build; there are {}", names().join(", ")))
}
