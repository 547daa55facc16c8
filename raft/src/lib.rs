//! One Raft group over the shard log. The only crate that names openraft.
