//! Audits of logs in memory: sound ones pass, and every damaged file is named, and no other.

mod log;
mod shards;
mod trees;
