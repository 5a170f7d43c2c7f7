//! Rules that must hold for all bytes, one module per fuzz target. The tests of `config`, `rekor` and `tlog` run the same functions on inputs
//! that proptest makes up, so that a machine without a fuzzer tries them too.

pub mod config;
pub mod note;
pub mod plan;
pub mod rekor_v1;
pub mod rekor_v2;
pub mod tile_path;
