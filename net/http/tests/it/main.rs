//! The HTTP side against a real node.

mod archived;
mod bulk;
mod by_hand;
mod enqueue;
mod events;
mod http;
mod jobs;
mod namespaces;
mod queues;
mod rebuild;
mod rules;
mod schedules;
mod search;
mod support;
mod worker;
