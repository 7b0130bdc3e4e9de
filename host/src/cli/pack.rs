//! `wasq pack`: a manifest into a component.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::plugins::{LoadError, pack};

/// Put a manifest into a component, so that one file is the plugin.
///
/// It replaces the manifest that the component has inside. `wasq build` does this by itself.
#[derive(Args)]
pub struct Pack {
    /// The manifest.
    #[arg(value_name = "plugin.toml")]
    manifest: PathBuf,
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    component: PathBuf,
    /// Where the plugin goes. Default: in the place of the component.
    #[arg(long, value_name = "FILE.wasm")]
    out: Option<PathBuf>,
}

impl Pack {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let manifest = String::from_utf8(read(&self.manifest)?)
            .with_context(|| format!("{} is not UTF-8", self.manifest.display()))?;
        let packed = pack(&read(&self.component)?, &manifest)
            .map_err(|reason| LoadError { path: self.component.clone(), reason })?;
        let out = self.out.as_ref().unwrap_or(&self.component);
        super::build::write_whole(out, &packed)?;
        println!("{}  {} KiB  blake3 {}", out.display(), packed.len() / 1024, blake3::hash(&packed).to_hex());
        Ok(ExitCode::SUCCESS)
    }
}
