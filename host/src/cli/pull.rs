//! `wasq pull`: a plugin out of a registry.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::build::write_whole;
use crate::config::{Limits, OciReference};
use crate::oci::{Access, Registry, Settings, pull};
use crate::plugins::manifest::Manifest;
use crate::plugins::{LoadError, check_format};

/// Pull a plugin from a registry into a file.
///
/// Its digest is checked, and a minisign signature that came with it is put beside it. Prints the
/// file and the reference with its digest. Credentials are those of `docker login`.
#[derive(Args)]
pub struct Pull {
    /// The plugin: oci://REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST.
    #[arg(value_name = "REFERENCE")]
    reference: OciReference,
    /// The file, or a directory for it. Default: NAME.wasm in this directory, by the manifest's
    /// name.
    #[arg(long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,
    /// Asks the registry by HTTP without TLS. One on this machine always is.
    #[arg(long)]
    plain_http: bool,
}

impl Pull {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let reference = self.reference;
        let plain_http = if self.plain_http { vec![reference.registry.clone()] } else { Vec::new() };
        let settings = Settings { plain_http, ..Settings::default() };
        let registry = Registry::open(&reference, Access::Pull, &settings).await?;
        let artifact = pull(&registry, &reference, Limits::default().max_component.as_u64()).await?;
        let pulled = reference.at(&artifact.digest);
        let refuse = |reason| LoadError { path: pulled.to_string().into(), reason };
        let format = check_format(&artifact.component).map_err(refuse)?;
        let file = match self.out {
            Some(out) if !out.is_dir() => out,
            dir => {
                let manifest = format.manifest.with_context(|| {
                    format!("{pulled} has no manifest inside, so it has no name; name the file with --out")
                })?;
                let manifest =
                    String::from_utf8(manifest).with_context(|| format!("{pulled}: its manifest is not UTF-8"))?;
                let manifest = Manifest::parse(&manifest).map_err(|error| refuse(error.into()))?;
                dir.unwrap_or_default().join(format!("{}.wasm", manifest.name))
            }
        };
        write_whole(&file, &artifact.component)?;
        if let Some(signature) = &artifact.signature {
            write_whole(&file.with_extension("wasm.minisig"), signature.as_bytes())?;
        }
        println!("{}  {} KiB  {pulled}", file.display(), artifact.component.len() / 1024);
        Ok(ExitCode::SUCCESS)
    }
}
