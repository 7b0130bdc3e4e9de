//! Plugins: what the host runs, loaded from a directory.

mod catalog;
pub mod key_template;
mod load;
pub mod manifest;

pub use catalog::{Catalog, Catalogs, LoadFailure};
pub use load::{LoadError, Loader, Plugin, read_manifest};
