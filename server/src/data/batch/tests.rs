//! Batches over a real engine.
