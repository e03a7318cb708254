//! Capture: facts, then plan, then load. All that touches the running kernel.

pub mod facts;
pub mod kernel_maps;
pub mod load;
pub mod object;
pub mod plan;
