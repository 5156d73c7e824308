"""A judging job as files: planned, asked shard by shard, merged, extended."""
