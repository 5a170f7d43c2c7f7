//! `integrate`: slots → trees → durable tiles. [`grow`] hashes the ordered entries into the shards' trees, [`cut`] makes their
//! tiles and the position durable, [`tree`] is the arithmetic.

pub(crate) mod cut;
pub(crate) mod grow;
pub(crate) mod tree;
