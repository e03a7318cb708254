//! Capture: facts, then plan, then load; beside them what the host tells. All that touches the
//! running kernel, and the only place that reads clocks.

pub mod clock;
pub mod facts;
pub mod host;
pub mod plan;
