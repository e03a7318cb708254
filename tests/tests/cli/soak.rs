//! The short form of `cargo xtask soak`.

use std::time::Duration;

use anyhow::Result;
use wherefore_tests::soak;
use wherefore_tests::tools::Tools;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[("what-a-recorder-takes-does-not-grow", short)];

/// Long enough for the repeated window and the caches to be full in the part that counts.
const LENGTH: Duration = Duration::from_secs(40);

fn short(tools: &Tools) -> Result<()> {
    soak::run(tools, LENGTH)?.verdict()
}
