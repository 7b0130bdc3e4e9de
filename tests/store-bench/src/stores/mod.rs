//! The stores, each in the best setting that keeps the ledger's promise: what `commit` has written
//! survives the process, and what it has written durably survives the machine.

mod append_log;
mod fjall;
mod redb;
mod sqlite;

use std::path::Path;

use crate::drive::Key;

/// Every name that [`open`] knows.
pub const NAMES: &[&str] = &["fjall", "fjall-beside", "redb", "sqlite", "sqlite-beside", "append-log"];

pub trait Store: Send {
    fn get(&mut self, key: &Key) -> Option<Vec<u8>>;
    /// Writes all of it or nothing. With `durable` it is on the disk when this returns, else with
    /// the operating system.
    fn commit(&mut self, writes: &[(Key, Vec<u8>)], durable: bool);
    /// How its commits reach the disk.
    fn durable(&self) -> Durable;
}

/// Who waits for the disk.
pub enum Durable {
    /// The writer, in `commit`: claims wait behind it.
    InCommit,
    /// A second thread calls this; everything committed before the call is on the disk when it
    /// returns.
    Beside(Box<dyn FnMut() + Send>),
}

pub fn open(name: &str, dir: &Path) -> Box<dyn Store> {
    match name {
        "fjall" => Box::new(fjall::Fjall::open(dir, false)),
        "fjall-beside" => Box::new(fjall::Fjall::open(dir, true)),
        "redb" => Box::new(redb::Redb::open(dir)),
        "sqlite" => Box::new(sqlite::Sqlite::open(dir, false)),
        "sqlite-beside" => Box::new(sqlite::Sqlite::open(dir, true)),
        "append-log" => Box::new(append_log::AppendLog::open(dir)),
        unknown => unreachable!("{unknown} is not in NAMES, which the arguments were checked against"),
    }
}
