//! `integrate`: slots → trees → durable tiles. [`grow`] hashes the ordered entries into the shards' trees ([`tlog::ShardTree`]),
//! [`cut`] makes their tiles and the position durable, every `merge.checkpointInterval`.

pub(crate) mod batch_bytes;
pub(crate) mod cut;
pub(crate) mod grow;
