//! Snapshot files.

pub(crate) fn is_snapshot_name(name: &str) -> bool {
    name.starts_with("snap-")
}
