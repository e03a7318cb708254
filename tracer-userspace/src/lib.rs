//! Wherefore says why a request to an app port failed, from what the kernel saw.
//!
//! The line that data follows: kernel hook, record, ring buffer, [`record::Record`] stream, tee into
//! trace file and engine, verdicts, output. Replay enters at the stream and shares all that follows.

#[cfg(feature = "capture")]
pub mod capture;
pub mod cli;
pub mod engine;
pub mod output;
pub mod record;
mod shell;
pub mod trace;
pub mod verdict;
