//! What the writer is told.

use super::error::LogError;
use super::segment::Location;
use crate::record::Record;

/// How far a commit gets before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives the process's death.
    System,
    /// It survives the machine's.
    Disk,
}

/// Called once when a commit is stored, or is not: with the places of its messages, in their order.
/// Commits finish in the order in which they were handed over, as long as their durability is the
/// same.
pub type Finish = Box<dyn FnOnce(Result<Vec<Location>, LogError>) + Send>;

/// What the writer is told.
pub enum Operation {
    Commit(Commit),
    Close,
}

pub struct Commit {
    pub records: Vec<Record>,
    pub contents: Vec<Vec<u8>>,
    pub durability: Durability,
    pub finish: Finish,
}
