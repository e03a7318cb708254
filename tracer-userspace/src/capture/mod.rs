//! What records: everything that touches the running kernel.

pub mod object;
