//! Bad input and bad luck: one clear line, the right exit code; and how the program ends.

mod endings;
mod ports;
mod privileges;
mod program;
mod service;
mod soak;
mod traces;
mod usage;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use wherefore_tests::scratch;
use wherefore_tests::tools::{self, Tools};
use wherefore_tests::{privileges as privilege_checks, without_http};

/// A test: its name, and what it does.
type Test = (&'static str, fn(&Tools) -> Result<()>);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !arguments.list && tools::missing().is_none() {
        drop(scratch::sweep());
        scratch::clean_up_when_interrupted();
    }
    let tests = [
        usage::TESTS,
        ports::TESTS,
        privileges::TESTS,
        privilege_checks::CHECKS,
        without_http::CHECKS,
        endings::TESTS,
        traces::TESTS,
        service::TESTS,
        soak::TESTS,
    ]
    .concat();
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if let Some(reason) = tools::missing() {
                return Ok(Completion::ignored_with(reason));
            }
            let app = Path::new(env!("CARGO_BIN_EXE_wherefore-lab"));
            let done = Tools::find(None, app).and_then(|tools| test(&tools));
            done.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
