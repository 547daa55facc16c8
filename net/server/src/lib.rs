//! Listeners, connections, shard threads and metrics of one node.
