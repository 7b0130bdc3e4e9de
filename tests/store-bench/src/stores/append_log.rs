//! The floor: one file that is only appended to, with every entry in memory. It never gives space
//! back and holds all of its index in memory, so it is no candidate; it shows what the disk and the
//! batches cost without a store.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::Path;

use super::{Durable, Store};
use crate::drive::Key;

pub struct AppendLog {
    file: File,
    entries: HashMap<Key, Vec<u8>>,
}

impl AppendLog {
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("log");
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).expect("the log opens");
        let mut entries = HashMap::new();
        let mut reader = BufReader::new(&file);
        let mut head = [0; 36];
        loop {
            match reader.read_exact(&mut head) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => panic!("the log reads: {error}"),
            }
            let (key, length) = head.split_at(32);
            let mut value = vec![0; u32::from_le_bytes(length.try_into().expect("36 less 32 is 4")) as usize];
            reader.read_exact(&mut value).expect("a commit is one write");
            entries.insert(key.try_into().expect("it was split at 32"), value);
        }
        Self { file, entries }
    }
}

impl Store for AppendLog {
    fn get(&mut self, key: &Key) -> Option<Vec<u8>> {
        self.entries.get(key).cloned()
    }

    fn commit(&mut self, writes: &[(Key, Vec<u8>)], durable: bool) {
        let mut bytes = Vec::new();
        for (key, value) in writes {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
            self.entries.insert(*key, value.clone());
        }
        self.file.write_all(&bytes).expect("the log takes it");
        if durable {
            self.file.sync_data().expect("the log syncs");
        }
    }

    fn durable(&self) -> Durable {
        let file = self.file.try_clone().expect("a file handle can be copied");
        Durable::Beside(Box::new(move || file.sync_data().expect("the log syncs")))
    }
}
