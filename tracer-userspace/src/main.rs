//! The program `wherefore`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wherefore::cli::main()
}
