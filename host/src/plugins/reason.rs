//! What can be wrong with a plugin's file, each with the way out.

use std::path::PathBuf;

use super::manifest::ManifestError;
use super::signature::Unsigned;
use crate::sandbox::CompileError;
use crate::sandbox::egress::DestinationError;

/// What is wrong with a plugin's file.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("cannot read it: {0}")]
    Read(#[from] std::io::Error),
    #[error("it has {size} bytes; the limit is {limit} (limits.max_component)")]
    TooLarge { size: u64, limit: u64 },
    #[error("{0}")]
    Unsigned(#[from] Unsigned),
    #[error(
        "it came without a signature, and the config takes none but signed plugins (plugins_signed_by); sign it, and push it again:\n  \
         minisign -S -m FILE.wasm\n  wasq push FILE.wasm {reference}"
    )]
    UnsignedArtifact { reference: String },
    #[error("it is a WebAssembly module, not a component; build it as one (in Rust: for wasm32-wasip2)")]
    CoreModule,
    #[error("it is precompiled code, which is never loaded from a plugin directory; give the .wasm itself")]
    Precompiled,
    #[error("it is no WebAssembly at all")]
    NotWasm,
    #[error("it is damaged or cut short: {0}")]
    Damaged(String),
    #[error("it has no manifest: no custom section `wasq:manifest`, and no {} beside it", .0.display())]
    NoManifest(PathBuf),
    #[error("its manifest: {0}")]
    Manifest(#[from] ManifestError),
    #[error("its manifest is not UTF-8")]
    ManifestEncoding,
    #[error("{0}")]
    Compile(#[from] CompileError),
    #[error("allowed_outbound_hosts: {0}")]
    Destination(#[from] DestinationError),
    #[error(
        "it asks to {verb} {list}, which is not granted; add to the config:\n  [plugins.{name}]\n  {key} = [{list}]"
    )]
    NotGranted { name: String, verb: &'static str, key: &'static str, list: String },
    #[error(
        "it asks for the secret `{secret}`, which no header of its requests has; add to the config, with the header that its \
         destination wants:\n  [plugins.{name}.headers.\"{destination}\"]\n  authorization = \"Bearer {{secret:{secret}}}\""
    )]
    NoSecret { name: String, secret: String, destination: String },
    #[error(
        "it is granted the queue `{queue}`, which is not in the config; add [queues.{queue}], or [outlets.{queue}] if it is only \
         sent to"
    )]
    NoQueue { queue: String },
    #[error("it begins with {needs} bytes of memory, and may have {limit} ({setting}); give it more there")]
    Memory { needs: u64, limit: u64, setting: String },
    #[error("pool `{pool}` is not defined in the config; add:\n  [pools]\n  {pool} = 10")]
    NoPool { pool: String },
    #[error("rate `{rate}` is not defined in the config; add:\n  [rates.{rate}]\n  limit = \"10/s\"")]
    NoRate { rate: String },
    #[error(
        "its blake3 is {digest}, and the config pins {pinned}; if this file is meant, set\n  [plugins.{name}]\n  blake3 = \"{digest}\""
    )]
    Digest { name: String, pinned: String, digest: String },
    #[error(
        "{} is another component's manifest: it names blake3 {named} (component_blake3), and this one has {digest}; bring both of \
         one version, or name this one and sign again", manifest.display()
    )]
    OtherComponent { manifest: PathBuf, named: String, digest: String },
    #[error(
        "{} names no component, so its signature would hold for any other one too (plugins_signed_by); add this line, and sign \
         it again:\n  component_blake3 = \"{digest}\"", manifest.display()
    )]
    AnyComponent { manifest: PathBuf, digest: String },
    #[error("{first} is a plugin named `{name}` too; take one of the two away, or give it another name")]
    SameName { name: String, first: String },
}
