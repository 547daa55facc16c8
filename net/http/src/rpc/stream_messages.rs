//! The messages of streams.

use std::collections::BTreeMap;

use jobbie_proto::Micros;
use prost::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::codec::{long, number};
use super::messages::{
    AckBatchItem, FailRequest, FailResponse, FetchBatchJob, HeartbeatJobResponse,
    HeartbeatJobUpdate, LifecycleEnqueueItem, Timestamp,
};
use crate::moment;

/// Fields 9 and 10 are beyond the contract.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LifecycleStreamRequest {
    #[prost(uint64, tag = "1")]
    #[serde(alias = "request_id", with = "long")]
    pub(super) request_id: u64,
    #[prost(string, repeated, tag = "2")]
    pub(super) queues: Vec<String>,
    #[prost(string, tag = "3")]
    #[serde(alias = "worker_id")]
    pub(super) worker_id: String,
    #[prost(string, tag = "4")]
    pub(super) hostname: String,
    #[prost(int32, tag = "5")]
    #[serde(alias = "lease_duration", deserialize_with = "number::deserialize")]
    pub(super) lease_duration: i32,
    #[prost(int32, tag = "6")]
    #[serde(alias = "fetch_count", deserialize_with = "number::deserialize")]
    pub(super) fetch_count: i32,
    #[prost(message, repeated, tag = "7")]
    pub(super) acks: Vec<AckBatchItem>,
    #[prost(message, repeated, tag = "8")]
    pub(super) enqueues: Vec<LifecycleEnqueueItem>,
    #[prost(message, repeated, tag = "9")]
    pub(super) fails: Vec<FailRequest>,
    #[prost(btree_map = "string, message", tag = "10")]
    pub(super) heartbeats: BTreeMap<String, HeartbeatJobUpdate>,
}

/// Fields 7 to 9 are beyond the contract. Field 6, `leader_addr`, is never told: every server takes everything.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LifecycleStreamResponse {
    #[prost(uint64, tag = "1")]
    #[serde(alias = "request_id", with = "long")]
    pub(super) request_id: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) jobs: Vec<FetchBatchJob>,
    #[prost(int32, tag = "3")]
    #[serde(deserialize_with = "number::deserialize")]
    pub(super) acked: i32,
    #[prost(string, tag = "4")]
    pub(super) error: String,
    #[prost(string, repeated, tag = "5")]
    #[serde(alias = "enqueued_job_ids")]
    pub(super) enqueued_job_ids: Vec<String>,
    #[prost(btree_map = "string, message", tag = "7")]
    pub(super) heartbeats: BTreeMap<String, HeartbeatJobResponse>,
    #[prost(message, repeated, tag = "8")]
    pub(super) failed: Vec<FailResponse>,
    #[prost(int32, tag = "9")]
    #[serde(alias = "retry_after_ms", deserialize_with = "number::deserialize")]
    pub(super) retry_after_ms: i32,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    pub(super) queues: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    #[serde(alias = "job_ids")]
    pub(super) job_ids: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub(super) types: Vec<String>,
    #[prost(uint64, tag = "4")]
    #[serde(alias = "last_event_id", with = "long")]
    pub(super) last_event_id: u64,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SubscribeEvent {
    #[prost(uint64, tag = "1")]
    #[serde(with = "long")]
    pub(super) seq: u64,
    #[prost(string, tag = "2")]
    pub(super) r#type: String,
    #[prost(string, tag = "3")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "4")]
    pub(super) queue: String,
    #[prost(uint64, tag = "5")]
    #[serde(alias = "at_ns", with = "long")]
    pub(super) at_ns: u64,
    #[prost(string, tag = "6")]
    #[serde(alias = "data_json")]
    pub(super) data_json: String,
}

impl From<Micros> for Timestamp {
    fn from(time: Micros) -> Self {
        let seconds = i64::try_from(time.0 / 1_000_000).unwrap_or(i64::MAX);
        let nanos = i32::try_from(time.0 % 1_000_000 * 1000).expect("less than a second");
        Self { seconds, nanos }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let seconds = u64::try_from(self.seconds).unwrap_or(0).saturating_mul(1_000_000);
        let micros = u64::try_from(self.nanos).unwrap_or(0) / 1000;
        to.serialize_str(&moment::text(Micros(seconds.saturating_add(micros))))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        moment::Timestamp::deserialize(from).map(|moment::Timestamp(time)| time.into())
    }
}
