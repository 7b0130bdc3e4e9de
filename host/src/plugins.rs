//! Plugins: what the host runs, loaded from a directory and from registries.

mod cache;
mod catalog;
pub mod compile;
mod conflicts;
pub mod demands;
mod gone;
pub mod grants;
mod load;
pub mod manifest;
mod origin;
mod pack;
pub mod rate_use;
mod reason;
pub mod rollout;
mod signature;
mod type_pattern;
mod type_table;
mod versions;
pub mod watch;

pub use cache::CacheError;
pub use catalog::{Catalog, Catalogs, LoadFailure, Serving, sources};
pub use conflicts::Conflict;
pub use load::{Format, LoadError, Loader, Plugin, check_format, read_manifest};
pub use origin::{Origin, Source};
pub use pack::pack;
pub use reason::Reason;
pub use type_pattern::TypePattern;
pub use type_table::TypeTable;
pub use versions::Versions;
