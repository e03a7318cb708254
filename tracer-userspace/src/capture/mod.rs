//! Capture: facts, then plan, then load. All that touches the running kernel.

pub mod facts;
pub mod plan;
