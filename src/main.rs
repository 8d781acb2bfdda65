//! `ebb`: arguments → command; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ebbtide::cli::main()
}
