//! The `wasq` binary: arguments, then one of the commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasq::cli::main()
}
