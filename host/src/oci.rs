//! Plugins in registries, as OCI artifacts: pulled, kept on disk by their digests, and pushed.
//!
//! The format is the CNCF's for WebAssembly: a manifest whose config has the media type
//! `application/vnd.wasm.config.v0+json`, and one layer of `application/wasm`, the component. The
//! protocol is OCI's distribution specification. [`PulledPlugins`] holds the plugins of a config up
//! to date; the plugin catalog loads what it has on disk. `wasq push` and `wasq pull` use
//! [`Registry`].

mod artifact;
mod challenge;
mod connect;
mod credentials;
mod error;
mod http;
mod pulled;
mod registry;
mod store;
mod transfer;

pub use artifact::Contents;
pub use error::OciError;
pub use pulled::{Pulled, PulledPlugins, PulledVersion};
pub use registry::{Access, Registry, Settings};
pub use transfer::{Artifact, pull, push};
