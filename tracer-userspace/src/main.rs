//! The program `wherefore`.
fn main() {}
