//! Plugins: what the host runs, loaded from a directory.

mod cache;
mod catalog;
pub mod compile;
pub mod grants;
pub mod key_template;
mod load;
pub mod manifest;
mod signature;
pub mod watch;

pub use catalog::{Catalog, Catalogs, LoadFailure};
pub use load::{LoadError, Loader, Plugin, Reason, check_format, read_manifest};
