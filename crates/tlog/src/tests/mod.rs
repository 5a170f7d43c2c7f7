//! Tests against independent readings of the same documents: published vectors, the recursive definitions of RFC 6962,
//! and other implementations.

mod checkpoints;
mod cosigning;
mod keys;
mod mirror;
mod notes;
mod proofs;
mod subtrees;
mod vectors;
mod walk;
