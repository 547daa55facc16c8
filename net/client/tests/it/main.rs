//! The client against a server that speaks the codec and misbehaves on request.

mod calls;
mod fake;
mod reconnect;
mod worker;
