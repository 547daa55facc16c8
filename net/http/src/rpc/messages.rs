//! The messages of `worker_service.proto`, field by field.

use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::codec::{long, number};

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AgentConfig {
    #[prost(int32, tag = "1")]
    #[serde(alias = "max_iterations", deserialize_with = "number::deserialize")]
    pub(super) max_iterations: i32,
    #[prost(double, tag = "2")]
    #[serde(alias = "max_cost_usd")]
    pub(super) max_cost_usd: f64,
    #[prost(string, tag = "3")]
    #[serde(alias = "iteration_timeout")]
    pub(super) iteration_timeout: String,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AgentState {
    #[prost(int32, tag = "1")]
    #[serde(alias = "max_iterations", deserialize_with = "number::deserialize")]
    pub(super) max_iterations: i32,
    #[prost(double, tag = "2")]
    #[serde(alias = "max_cost_usd")]
    pub(super) max_cost_usd: f64,
    #[prost(string, tag = "3")]
    #[serde(alias = "iteration_timeout")]
    pub(super) iteration_timeout: String,
    #[prost(int32, tag = "4")]
    #[serde(deserialize_with = "number::deserialize")]
    pub(super) iteration: i32,
    #[prost(double, tag = "5")]
    #[serde(alias = "total_cost_usd")]
    pub(super) total_cost_usd: f64,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EnqueueRequest {
    #[prost(string, tag = "1")]
    pub(super) queue: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "payload_json")]
    pub(super) payload_json: String,
    #[prost(message, optional, tag = "3")]
    pub(super) agent: Option<AgentConfig>,
    /// Every other option of a job, as an object. Beyond the contract.
    #[prost(string, tag = "4")]
    #[serde(alias = "options_json")]
    pub(super) options_json: String,
}

/// The same, and on a stream.
pub(super) type LifecycleEnqueueItem = EnqueueRequest;

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct EnqueueResponse {
    #[prost(string, tag = "1")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "2")]
    pub(super) status: String,
    #[prost(bool, tag = "3")]
    #[serde(alias = "unique_existing")]
    pub(super) unique_existing: bool,
}

/// Also of one job: then there is no count.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FetchBatchRequest {
    #[prost(string, repeated, tag = "1")]
    pub(super) queues: Vec<String>,
    #[prost(string, tag = "2")]
    #[serde(alias = "worker_id")]
    pub(super) worker_id: String,
    #[prost(string, tag = "3")]
    pub(super) hostname: String,
    #[prost(int32, tag = "4")]
    #[serde(alias = "lease_duration", deserialize_with = "number::deserialize")]
    pub(super) lease_duration: i32,
    #[prost(int32, tag = "5")]
    #[serde(deserialize_with = "number::deserialize")]
    pub(super) count: i32,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FetchResponse {
    #[prost(bool, tag = "1")]
    pub(super) found: bool,
    #[prost(string, tag = "2")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "3")]
    pub(super) queue: String,
    #[prost(string, tag = "4")]
    #[serde(alias = "payload_json")]
    pub(super) payload_json: String,
    #[prost(int32, tag = "5")]
    #[serde(deserialize_with = "number::deserialize")]
    pub(super) attempt: i32,
    #[prost(int32, tag = "6")]
    #[serde(alias = "max_retries", deserialize_with = "number::deserialize")]
    pub(super) max_retries: i32,
    #[prost(int32, tag = "7")]
    #[serde(alias = "lease_duration", deserialize_with = "number::deserialize")]
    pub(super) lease_duration: i32,
    #[prost(string, tag = "8")]
    #[serde(alias = "checkpoint_json")]
    pub(super) checkpoint_json: String,
    #[prost(string, tag = "9")]
    #[serde(alias = "tags_json")]
    pub(super) tags_json: String,
    #[prost(message, optional, tag = "10")]
    pub(super) agent: Option<AgentState>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FetchBatchJob {
    #[prost(string, tag = "1")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "2")]
    pub(super) queue: String,
    #[prost(string, tag = "3")]
    #[serde(alias = "payload_json")]
    pub(super) payload_json: String,
    #[prost(int32, tag = "4")]
    #[serde(deserialize_with = "number::deserialize")]
    pub(super) attempt: i32,
    #[prost(int32, tag = "5")]
    #[serde(alias = "max_retries", deserialize_with = "number::deserialize")]
    pub(super) max_retries: i32,
    #[prost(int32, tag = "6")]
    #[serde(alias = "lease_duration", deserialize_with = "number::deserialize")]
    pub(super) lease_duration: i32,
    #[prost(string, tag = "7")]
    #[serde(alias = "checkpoint_json")]
    pub(super) checkpoint_json: String,
    #[prost(string, tag = "8")]
    #[serde(alias = "tags_json")]
    pub(super) tags_json: String,
    #[prost(message, optional, tag = "9")]
    pub(super) agent: Option<AgentState>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FetchBatchResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) jobs: Vec<FetchBatchJob>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct UsageReport {
    #[prost(int64, tag = "1")]
    #[serde(alias = "input_tokens", with = "long")]
    pub(super) input_tokens: i64,
    #[prost(int64, tag = "2")]
    #[serde(alias = "output_tokens", with = "long")]
    pub(super) output_tokens: i64,
    #[prost(int64, tag = "3")]
    #[serde(alias = "cache_creation_tokens", with = "long")]
    pub(super) cache_creation_tokens: i64,
    #[prost(int64, tag = "4")]
    #[serde(alias = "cache_read_tokens", with = "long")]
    pub(super) cache_read_tokens: i64,
    #[prost(string, tag = "5")]
    pub(super) model: String,
    #[prost(string, tag = "6")]
    pub(super) provider: String,
    #[prost(double, tag = "7")]
    #[serde(alias = "cost_usd")]
    pub(super) cost_usd: f64,
}

/// Field 7, `trace_json`, is not read.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AckRequest {
    #[prost(string, tag = "1")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "result_json")]
    pub(super) result_json: String,
    #[prost(message, optional, tag = "3")]
    pub(super) usage: Option<UsageReport>,
    #[prost(string, tag = "4")]
    #[serde(alias = "checkpoint_json")]
    pub(super) checkpoint_json: String,
    #[prost(string, tag = "5")]
    #[serde(alias = "agent_status")]
    pub(super) agent_status: String,
    #[prost(string, tag = "6")]
    #[serde(alias = "hold_reason")]
    pub(super) hold_reason: String,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Empty {}

/// Fields 4 to 7 are beyond the contract.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AckBatchItem {
    #[prost(string, tag = "1")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "result_json")]
    pub(super) result_json: String,
    #[prost(message, optional, tag = "3")]
    pub(super) usage: Option<UsageReport>,
    #[prost(string, tag = "4")]
    #[serde(alias = "checkpoint_json")]
    pub(super) checkpoint_json: String,
    #[prost(string, tag = "5")]
    #[serde(alias = "agent_status")]
    pub(super) agent_status: String,
    #[prost(string, tag = "6")]
    #[serde(alias = "hold_reason")]
    pub(super) hold_reason: String,
    #[prost(string, tag = "7")]
    #[serde(alias = "step_status")]
    pub(super) step_status: String,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AckBatchRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<AckBatchItem>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AckBatchResponse {
    #[prost(int32, tag = "1")]
    #[serde(deserialize_with = "number::deserialize")]
    pub(super) acked: i32,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FailRequest {
    #[prost(string, tag = "1")]
    #[serde(alias = "job_id")]
    pub(super) job_id: String,
    #[prost(string, tag = "2")]
    pub(super) error: String,
    #[prost(string, tag = "3")]
    pub(super) backtrace: String,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FailResponse {
    #[prost(string, tag = "1")]
    pub(super) status: String,
    #[prost(message, optional, tag = "2")]
    #[serde(alias = "next_attempt_at")]
    pub(super) next_attempt_at: Option<Timestamp>,
    #[prost(int32, tag = "3")]
    #[serde(alias = "attempts_remaining", deserialize_with = "number::deserialize")]
    pub(super) attempts_remaining: i32,
}

/// Field 4, `stream_delta`, is not read.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct HeartbeatJobUpdate {
    #[prost(string, tag = "1")]
    #[serde(alias = "progress_json")]
    pub(super) progress_json: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "checkpoint_json")]
    pub(super) checkpoint_json: String,
    #[prost(message, optional, tag = "3")]
    pub(super) usage: Option<UsageReport>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HeartbeatRequest {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) jobs: BTreeMap<String, HeartbeatJobUpdate>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HeartbeatJobResponse {
    #[prost(string, tag = "1")]
    pub(super) status: String,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HeartbeatResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) jobs: BTreeMap<String, HeartbeatJobResponse>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct GetServerInfoResponse {
    #[prost(string, tag = "1")]
    #[serde(alias = "server_version")]
    pub(super) server_version: String,
    #[prost(string, tag = "2")]
    #[serde(alias = "api_version")]
    pub(super) api_version: String,
}
