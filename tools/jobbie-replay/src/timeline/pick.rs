//! Picks the events that are about a job, also those that name it in passing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jobbie_proto::event::Event;
use jobbie_proto::id::OperationRef;
use jobbie_proto::{OperationId, ShardId};
use serde_json::Value;

use super::kin::Kin;
use super::readable;
use crate::dump::{Fields, Told};
use crate::rows::numbers;

/// What clients wrote may be anything, also an id.
const NOT_NAMES: [&str; 9] =
    ["payload", "result", "data", "progress", "checkpoint", "tags", "key", "unique", "error"];
/// Events after which a job is no worker's.
const END_A_LEASE: [&str; 8] = [
    "completed",
    "failed",
    "released",
    "lease_expired",
    "quarantined",
    "cancelled",
    "held",
    "deleted",
];

/// What of a shard's log is about the job.
pub(super) struct Picker<'a> {
    kin: &'a Kin,
    shard: u16,
    ids: BTreeSet<String>,
    /// Name and host of each session.
    sessions: HashMap<u64, [Value; 2]>,
    /// Who has the job, under each of its numbers.
    holders: BTreeMap<u64, u64>,
    /// Numbers of the events picked: messages refer to them.
    seqs: BTreeSet<u64>,
    pub(super) picked: Vec<Fields>,
}

impl<'a> Picker<'a> {
    pub(super) fn new(kin: &'a Kin, shard: u16) -> Self {
        Self {
            kin,
            shard,
            ids: kin.ids(),
            sessions: HashMap::new(),
            holders: BTreeMap::new(),
            seqs: BTreeSet::new(),
            picked: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, mut told: Told<'_>) {
        let event = told.fields["event"].as_str().unwrap_or_default().to_owned();
        if event == "session_opened" {
            let of = |name: &str| told.fields.get(name).cloned().unwrap_or_default();
            self.sessions.insert(told.seq, [of("name"), of("host")]);
        }
        let own = told.fields.get("job").and_then(Value::as_u64);
        let own = own.filter(|job| self.kin.has(self.shard, *job));
        if let Some(job) = own {
            self.follow_lease(job, &event, &mut told);
        }
        if own.is_none() && !self.is_about(&event, &mut told) {
            return;
        }
        if let Some(operation) = operation_of(&told) {
            let of = OperationRef { shard: ShardId(self.shard), id: operation };
            told.fields.insert("by_operation".into(), of.to_string().into());
        }
        self.seqs.insert(told.seq);
        self.picked.push(readable(told.line()));
    }

    /// Who has the job is told with its lease.
    fn follow_lease(&mut self, job: u64, event: &str, told: &mut Told<'_>) {
        if event == "leased" {
            let session = told.fields["lease_session"].as_u64().unwrap_or_default();
            self.holders.insert(job, session);
        }
        if let Some(session) = self.holders.get(&job)
            && (event == "leased" || END_A_LEASE.contains(&event))
            && let Some([name, host]) = self.sessions.get(session)
        {
            let worker = told.fields.entry("worker").or_insert(Value::Null);
            if worker.is_null() {
                *worker = name.clone();
            }
            told.fields.insert("host".into(), host.clone());
        }
        if END_A_LEASE.contains(&event) {
            self.holders.remove(&job);
        }
    }

    /// Whether an event that is no event of the job names it, or something it belongs to.
    fn is_about(&self, event: &str, told: &mut Told<'_>) -> bool {
        let (kin, shard) = (self.kin, self.shard);
        let fields = &mut told.fields;
        let number = |fields: &Fields, name: &str| fields.get(name).and_then(Value::as_u64);
        let held_by = |session: Option<u64>| self.holders.values().any(|has| Some(*has) == session);
        match event {
            "session_extended" => return held_by(number(fields, "extended")),
            "session_closed" => return held_by(number(fields, "closed")),
            "batch_sealed" | "batch_seal_refused" | "batch_counted" => {
                return number(fields, "batch").is_some_and(|batch| kin.has_batch(shard, batch));
            }
            "batches_forgotten" => {
                let batches = fields.get("batches").map(numbers).unwrap_or_default();
                return batches.into_iter().any(|batch| kin.has_batch(shard, batch));
            }
            "operation_ended" => {
                return number(fields, "operation").is_some_and(|of| kin.has_operation(shard, of));
            }
            "sent" => {
                let Some(Value::Array(messages)) = fields.get_mut("messages") else { return false };
                messages.retain(|message| self.is_message_about(message));
                return !messages.is_empty();
            }
            _ => {}
        }
        let listed = ["jobs", "held"].into_iter().filter_map(|name| fields.get(name));
        let is_listed = listed.flat_map(numbers).any(|job| kin.has(shard, job));
        // An operation counts its jobs in a field of that name.
        let is_listed = is_listed && event != "operation_started";
        is_listed || kin.has_event(shard, told.seq) || fields.iter().any(|(n, v)| self.names(n, v))
    }

    fn is_message_about(&self, message: &Value) -> bool {
        let number = |name: &str| message.get(name).and_then(Value::as_u64);
        let kin = self.kin;
        number("job").is_some_and(|job| kin.has(self.shard, job))
            || number("cause").is_some_and(|cause| self.seqs.contains(&cause))
            || number("batch").is_some_and(|batch| kin.has_batch(self.shard, batch))
            || self.names("message", message)
    }

    /// Whether one of the job's ids is in a field.
    fn names(&self, name: &str, value: &Value) -> bool {
        match value {
            _ if NOT_NAMES.contains(&name) => false,
            Value::String(text) => self.ids.contains(text),
            Value::Array(list) => list.iter().any(|one| self.names(name, one)),
            Value::Object(object) => object.iter().any(|(name, one)| self.names(name, one)),
            _ => false,
        }
    }
}

/// The operation that did this, as a step of it.
fn operation_of(told: &Told<'_>) -> Option<OperationId> {
    let is_step = told.fields.contains_key("job");
    let operation = |event: &Event| match event {
        Event::OperationAdvanced { operation, .. } => Some(*operation),
        _ => None,
    };
    told.group.events.iter().find_map(operation).filter(|_| is_step)
}
