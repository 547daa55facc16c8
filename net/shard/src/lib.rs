//! One shard: intake, decide, propose, release; generic over runtime and disk.
