//! `cargo xtask dist`: the files of a release.

use std::process::ExitCode;

use clap::Parser;
use wasq_dist::Options;

fn main() -> ExitCode {
    match wasq_dist::make(&Options::parse()) {
        Ok(release) => {
            for file in &release.files {
                println!("{}  {}", file.sha256, release.directory.join(&file.name).display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
