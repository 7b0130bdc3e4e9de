//! What the integration tests share with the long-running ones: the components that they run, which
//! the build script has compiled, real servers, the simulator, the supervisor that kills real
//! hosts, hostile guests, fuzzing, limits of the fleet, and the steps of a message's way with the guard that counts what
//! they cost.

pub mod brokers;
pub mod crash;
pub mod fuzz;
pub mod guard;
pub mod hostile;
pub mod neighbours;
pub mod pressure;
pub mod servers;
pub mod sim;
pub mod steps;
pub mod wat;

use std::path::{Path, PathBuf};

/// A guest's component: `probe` is tests/guests/examples/probe.rs.
///
/// # Panics
/// When there is no such guest.
pub fn guest(name: &str) -> PathBuf {
    built(&Path::new("examples").join(format!("{name}.wasm")), "tests/guests/examples")
}

/// The component of one of the shop's handlers, by its directory in plugins/.
///
/// # Panics
/// When there is no such handler.
pub fn plugin(name: &str) -> PathBuf {
    built(Path::new(&format!("{}.wasm", name.replace('-', "_"))), "plugins")
}

fn built(file: &Path, source: &str) -> PathBuf {
    let path = Path::new(env!("WASQ_BUILT")).join(file);
    assert!(path.exists(), "{} was not built: is its source in {source}?", path.display());
    path
}
