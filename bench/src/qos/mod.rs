//! Quality of service: what a live writer feels of a backfill, of a greedy neighbour, of ten times too much; and what three
//! simpler schedulers make of the same arrivals. Every ratio is of two measurements in one run.

mod live;
mod load;
mod others;
mod simulate;

pub(crate) use live::{beside, floor, greedy, import, overload};
pub(crate) use simulate::{compare, halved};
