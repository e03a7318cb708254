//! Capture: facts, then plan, then load; beside them what the host tells. All that touches the
//! running kernel, and the only place that reads clocks.

mod checkers;
pub mod clock;
pub mod facts;
pub mod firewall;
mod flow_maps;
pub mod heads;
pub mod heap;
pub mod host;
mod kernel_maps;
pub mod load;
mod lookups;
mod made_records;
mod missed;
mod modules;
pub mod object;
pub mod plan;
mod polled;
pub mod privileges;
mod published;
pub mod self_test;
mod servers;
pub mod session;
mod upstreams;
