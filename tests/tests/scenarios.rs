//! One scenario of each verdict as a test of its own, and those that expect what was counted of a load: each with
//! recorders of its own, which count nothing else. All others run many to a recorder (`wherefore-lab run --share N`), as
//! `cargo xtask test` does: to start three recorders for each of 400 would take too long for every change.
//! `wherefore-lab run` does.

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use wherefore_tests::tools::{self, Tools};
use wherefore_tests::{run, scenarios, scratch};

/// Each scenario has namespaces of its own; more than this at once only wait for the processors.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    if !arguments.list && tools::missing().is_none() {
        drop(scratch::sweep());
        scratch::clean_up_when_interrupted();
    }
    let trials =
        scenarios::all().into_iter().filter(|scenario| scenario.ci || scenario.expect.counts()).map(|scenario| {
            Trial::ignorable_test(scenario.title(), move || {
                if let Some(reason) = tools::missing().or_else(|| run::missing(&scenario)) {
                    return Ok(Completion::ignored_with(reason));
                }
                let app = Path::new(env!("CARGO_BIN_EXE_wherefore-lab"));
                let tools = Tools::find(None, app).map_err(|error| Failed::from(format!("{error:#}")))?;
                run::run(&tools, &scenario, None).map_err(|error| Failed::from(format!("{error:#}")))?;
                Ok(Completion::Completed)
            })
        });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
