//! What a store makes of a torn write: a power cut while the log's last pages, not yet synced, were
//! on their way to the disk in an order of the disk's own.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::panic::catch_unwind;
use std::path::Path;

use crate::{drive, run_child, stores};

/// The stores that write a log first, each with its log's name.
const LOGS: &[(&str, &str)] = &[("fjall", "0.jnl"), ("sqlite", "entries.sqlite-wal")];
/// Batches that the child writes, and entries in one.
const BATCHES: u64 = 8;
const BATCH: u64 = 10;
/// An entry's bytes: as small as a completion, and as big as a step may be. The torn page lies
/// within one of the big ones.
const SIZES: [usize; 2] = [drive::DONE_BYTES * 10, 16 * 1024];
/// A disk's page. The torn one is the last but one that the log has written.
const PAGE: u64 = 4_096;

/// Writes the batches, the last of them not durably, says so, and waits to be killed.
pub fn write(name: &str, dir: &Path, bytes: usize) {
    let mut store = stores::open(name, dir);
    for batch in 0..BATCHES {
        let writes: Vec<_> =
            (batch * BATCH..(batch + 1) * BATCH).map(|n| (drive::key(n), drive::value(n, bytes))).collect();
        store.commit(&writes, batch < BATCHES - 1);
    }
    println!("written");
    loop {
        std::thread::park();
    }
}

/// Prints, for each store and size, how many of its batches are there after the tear.
pub fn compare(base: &Path) {
    for (name, log) in LOGS {
        for bytes in SIZES {
            let dir = base.join(format!("{name}-{bytes}"));
            std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
            run_child(&["torn", name, &dir.display().to_string(), &bytes.to_string()], true);
            tear(&dir.join(log));
            let opened = catch_unwind(|| {
                let mut store = stores::open(name, &dir);
                (0..BATCHES).filter(|batch| store.get(&drive::key(batch * BATCH)).is_some()).count()
            });
            match opened {
                Ok(there) => {
                    println!("{name}, entries of {bytes} bytes: {there} of {BATCHES} batches, the last one torn")
                }
                Err(_) => println!("{name}, entries of {bytes} bytes: does not open"),
            }
        }
    }
}

/// Empties the last page but one that holds anything, as if it alone had not been written.
fn tear(log: &Path) {
    let bytes = std::fs::read(log).expect("the log is where the store puts it");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("the log holds the batches") as u64;
    let file = OpenOptions::new().write(true).open(log).expect("it is ours");
    file.write_all_at(&[0; PAGE as usize], (end / PAGE - 1) * PAGE).expect("it is ours");
}
