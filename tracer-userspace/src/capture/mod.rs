//! The capture side: what reads the running kernel and host.

pub mod clock;
pub mod host;
