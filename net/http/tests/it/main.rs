//! The HTTP side against a real node.

mod enqueue;
mod http;
mod support;
mod worker;
