//! Capture: facts, then plan, then load. All that touches the running kernel.

pub mod facts;
pub mod plan;
//! The capture side: what reads the running kernel and host.

pub mod clock;
pub mod host;
