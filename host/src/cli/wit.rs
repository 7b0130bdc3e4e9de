//! `wasq wit`: the contract, for handlers without an SDK.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

/// The contract's package: each file by its path in a directory.
const FILES: [(&str, &str); 4] = [
    ("worker.wit", include_str!("../../../wit/worker.wit")),
    ("deps/wasi-cli.wit", include_str!("../../../wit/deps/wasi-cli.wit")),
    ("deps/wasi-http.wit", include_str!("../../../wit/deps/wasi-http.wit")),
    ("deps/wasi-io.wit", include_str!("../../../wit/deps/wasi-io.wit")),
];

/// Print the contract between host and handler (WIT), or write its whole package.
///
/// A handler in a language without an SDK is built against it: bindings for the world `worker`, or
/// `worker-http` for one that calls out, export `message-handler`. The package needs no other one.
#[derive(Args)]
pub struct Wit {
    /// Write the package into this directory, with the part of WASI that it uses.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Wit {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some(dir) = self.out else {
            print!("{}", FILES[0].1);
            return Ok(ExitCode::SUCCESS);
        };
        for (name, text) in FILES {
            let path = dir.join(name);
            let parent = path.parent().unwrap_or(&dir);
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            println!("{}", path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
