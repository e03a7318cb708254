//! Build, test and lab commands.
fn main() {}
