//! fjall: a journal, and a log-structured merge tree behind it. Its fsync holds the journal's lock,
//! so that a fsync on a second thread still holds up the next commit; measured both ways.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Durable, Store};
use crate::drive::Key;

pub struct Fjall {
    database: Database,
    entries: Keyspace,
    beside: bool,
}

impl Fjall {
    pub fn open(dir: &Path, beside: bool) -> Self {
        let database = Database::builder(dir)
            .manual_journal_persist(true)
            .cache_size(64 << 20)
            .max_journaling_size(128 << 20)
            .open()
            .expect("fjall opens");
        let options = || KeyspaceCreateOptions::default().max_memtable_size(16 << 20);
        let entries = database.keyspace("entries", options).expect("the keyspace opens");
        Self { database, entries, beside }
    }
}

impl Store for Fjall {
    fn get(&mut self, key: &Key) -> Option<Vec<u8>> {
        self.entries.get(key).expect("fjall reads").map(|value| value.to_vec())
    }

    fn commit(&mut self, writes: &[(Key, Vec<u8>)], durable: bool) {
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, value) in writes {
            batch.insert(&self.entries, key.as_slice(), value.as_slice());
        }
        batch.commit().expect("fjall commits");
    }

    fn durable(&self) -> Durable {
        let database = self.database.clone();
        match self.beside {
            true => Durable::Beside(Box::new(move || {
                database.persist(PersistMode::SyncData).expect("fjall syncs");
            })),
            false => Durable::InCommit,
        }
    }
}
