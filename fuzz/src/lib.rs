//! Rules that must hold for all bytes, one module per fuzz target. The tests of `config` and `tlog` run the same functions on inputs
//! that proptest makes up, so that a machine without a fuzzer tries them too.

pub mod config;
pub mod note;
pub mod plan;
pub mod tile_path;
