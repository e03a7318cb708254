//! The plan: a pure function from facts to hooks, numbers for the programs, and what will be blind.

mod layout;
mod hook;

pub use hook::{HookKind, HookPlan};
pub use layout::LayoutError;

/// temporary
pub fn layout_of(types: &super::facts::TypeFacts) -> Result<tracer_ebpf::Layout, LayoutError> {
    layout::layout(types)
}
