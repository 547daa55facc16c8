//! A line for each job that the log tells of: what the state knows of it after each of its events, and what only its
//! events say. Jobs that are over keep their line.

use std::collections::{BTreeMap, BTreeSet};

use jobbie_core::State;
use jobbie_log::Entry;
use jobbie_proto::JobId;
use serde_json::Value;

use crate::data_dir::Reading;
use crate::dump::{self, Fields, Show, Told};
use crate::error::ReplayError;
use crate::point::JobName;
use crate::views;

/// What events say of a job and the state does not, or no longer once it is over.
const SAID: [&str; 9] =
    ["queue", "priority", "max_retries", "payload", "tags", "key", "result", "error", "progress"];

/// The lines of one shard.
pub(crate) struct Rows {
    /// Only this job.
    only: Option<JobName>,
    rows: BTreeMap<u64, Fields>,
    /// Names of the sessions that were opened.
    sessions: BTreeMap<u64, Value>,
}

impl Rows {
    /// Lines of the jobs that there are in a state.
    pub(crate) fn new(state: &State, only: Option<JobName>) -> Self {
        let mut rows = Self { only, rows: BTreeMap::new(), sessions: BTreeMap::new() };
        for id in state.jobs().filter(|id| only.is_none_or(|job| job.is(*id))) {
            rows.see(state, id);
        }
        rows
    }

    /// Takes an entry, and the state after it.
    pub(crate) fn take(
        &mut self,
        log: &Reading,
        state: &State,
        entry: &Entry,
        show: Show,
    ) -> Result<(), ReplayError> {
        let mut touched = BTreeSet::new();
        dump::each_event(log, entry, show, |told| self.tell(&told, &mut touched))?;
        for job in touched {
            let id = self.rows.get(&job).and_then(|row| row["job"].as_str()?.parse().ok());
            if let Some(id) = id {
                self.see(state, id);
            }
        }
        Ok(())
    }

    fn tell(&mut self, told: &Told<'_>, touched: &mut BTreeSet<u64>) {
        let event = told.fields["event"].as_str().unwrap_or_default();
        if event == "session_opened" {
            self.sessions.insert(told.seq, told.fields["name"].clone());
        }
        let also = ["jobs", "held"].into_iter().filter_map(|name| told.fields.get(name));
        let also = also.flat_map(numbers);
        let own = told.fields.get("job").and_then(Value::as_u64);
        touched.extend(also.filter(|job| self.rows.contains_key(job)));
        let Some(job) = own else { return };
        if let Some(id) = told.fields.get("id").and_then(|id| id.as_str()?.parse::<JobId>().ok())
            && self.only.is_none_or(|only| only.is(id))
        {
            let row = self.rows.entry(job).or_default();
            row.insert("job".into(), id.to_string().into());
            row.insert("created_us".into(), (id.created_ms() * 1000).into());
        }
        let Some(row) = self.rows.get_mut(&job) else { return };
        touched.insert(job);
        for name in SAID {
            if let Some(said) = told.fields.get(name).filter(|said| !said.is_null()) {
                row.insert(name.to_owned(), said.clone());
            }
        }
        let time = Value::from(told.entry.time_us);
        match event {
            "leased" => {
                row.insert("leased_us".into(), time);
                let session = told.fields["lease_session"].as_u64().unwrap_or_default();
                let own = told.fields.get("worker").filter(|name| !name.is_null());
                let worker = own.or_else(|| self.sessions.get(&session)).cloned();
                row.insert("worker".into(), worker.unwrap_or_default());
            }
            "rejected" => {
                row.insert("error".into(), told.fields["reason"].clone());
            }
            "completed" | "deleted" | "purged" => {
                row.insert("state".into(), event.into());
                row.insert("due_us".into(), Value::Null);
                row.insert("lease_token".into(), Value::Null);
                if event == "completed" || row.get("ended_us").is_none_or(Value::is_null) {
                    row.insert("ended_us".into(), time);
                }
            }
            _ => {}
        }
    }

    /// Brings a line up to what the state knows, if it still knows the job.
    fn see(&mut self, state: &State, id: JobId) {
        if let Ok(view) = state.job(id) {
            self.rows.entry(id.seq().0).or_default().extend(views::job(&view));
        }
    }

    /// Brings every line up to the state, which may have changed without an event of the job: a session's leases are
    /// made longer together.
    pub(crate) fn settle(&mut self, state: &State) {
        let only = self.only;
        for id in state.jobs().filter(|id| only.is_none_or(|job| job.is(*id))) {
            self.see(state, id);
        }
    }

    /// The line of a job.
    pub(crate) fn get(&self, job: u64) -> Option<&Fields> {
        self.rows.get(&job)
    }

    /// All lines, by the jobs' numbers.
    pub(crate) fn into_lines(self) -> impl Iterator<Item = Fields> {
        self.rows.into_values()
    }
}

/// The numbers of jobs in a field: one, a list of them, or a list of objects that name them.
pub(crate) fn numbers(value: &Value) -> Vec<u64> {
    match value {
        Value::Number(_) => value.as_u64().into_iter().collect(),
        Value::Array(list) => list
            .iter()
            .filter_map(|one| one.as_u64().or_else(|| one.get("job").and_then(Value::as_u64)))
            .collect(),
        _ => Vec::new(),
    }
}
