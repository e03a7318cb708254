//! The engine: records in, verdicts out. Pure: no I/O, no clock; the only time it knows is the
//! records'.

mod output;

pub use output::{Counters, Damage, Latency, Output, PortSummary, Summary};
