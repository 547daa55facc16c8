//! The HTTP side against a real node.

mod archived;
mod bulk;
mod by_hand;
mod channel;
mod enqueue;
mod events;
mod http;
mod jobs;
mod lifecycle;
mod namespaces;
mod queues;
mod rebuild;
mod rpc;
mod rules;
mod schedules;
mod search;
mod support;
mod worker;
