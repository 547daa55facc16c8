//! Test support: run node code on one thread, with virtual time and a disk that behaves as
//! badly as the contract of [`jobbie_io::disk`] allows.
//!
//! Everything random comes from one seed, and everything that happens folds into one trace hash
//! ([`Handle::trace_hash`]): equal seeds give equal hashes, so a failing run can be replayed.

pub mod disk;
pub mod executor;
pub mod net;
pub mod rng;

pub use disk::{Astray, DiskConfig, Fault, FaultRates, Operation, SimDisk, SimFile};
pub use executor::{Executor, Handle, JoinError, JoinHandle, NodeId, Schedule, Sleep};
pub use net::{LinkRates, SimNet};
pub use rng::Rng;
