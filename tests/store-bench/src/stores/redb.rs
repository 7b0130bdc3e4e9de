//! redb: a copy-on-write B-tree. What is committed without a fsync lives in the process's memory
//! and dies with it, so that claims need the fsync as well.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::{Durable, Store};
use crate::drive::Key;

const ENTRIES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("entries");

pub struct Redb {
    database: Database,
}

impl Redb {
    pub fn open(dir: &Path) -> Self {
        let database =
            Database::builder().set_cache_size(64 << 20).create(dir.join("entries.redb")).expect("redb opens");
        let write = database.begin_write().expect("redb writes");
        write.open_table(ENTRIES).expect("the table opens");
        write.commit().expect("redb commits");
        Self { database }
    }
}

impl Store for Redb {
    fn get(&mut self, key: &Key) -> Option<Vec<u8>> {
        let read = self.database.begin_read().expect("redb reads");
        let table = read.open_table(ENTRIES).expect("the table was made at opening");
        table.get(key).expect("redb reads").map(|value| value.value().to_vec())
    }

    fn commit(&mut self, writes: &[(Key, Vec<u8>)], _durable: bool) {
        let mut write = self.database.begin_write().expect("redb writes");
        write.set_durability(Durability::Immediate).expect("no savepoint is open");
        {
            let mut table = write.open_table(ENTRIES).expect("the table opens");
            for (key, value) in writes {
                table.insert(key, value.as_slice()).expect("redb inserts");
            }
        }
        write.commit().expect("redb commits");
    }

    fn durable(&self) -> Durable {
        Durable::InCommit
    }
}
