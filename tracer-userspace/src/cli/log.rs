//! Diagnostics on standard error: quiet by default, the kernel side's own under `-v`.

use std::io::Write;

use env_logger::{Builder, Env};

/// Starts logging. `WHEREFORE_LOG` overrides what `-v` chooses.
pub(super) fn init(verbose: bool) {
    // the loader's own debug lines are thousands of relocations, and what it warns of ends in an error
    let default = if verbose { "debug,aya=info,aya_obj=info" } else { "warn,aya=error" };
    let started = Builder::from_env(Env::new().filter_or("WHEREFORE_LOG", default))
        .format(|out, record| writeln!(out, "wherefore: {}: {}", record.level().as_str().to_lowercase(), record.args()))
        .try_init();
    if started.is_err() {
        log::debug!("logging had been started before");
    }
}
