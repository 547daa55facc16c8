//! What the tests in `it/` share: the rules of the house, and the real binaries driven from outside.

pub mod cli;
pub mod golden;
pub mod history;
pub mod loop_fs;
pub mod server;
pub mod tidy;
