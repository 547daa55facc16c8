//! Ids, event records, wire frames, error codes and limits.
