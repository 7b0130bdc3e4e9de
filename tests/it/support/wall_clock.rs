//! A wall clock that a test sets, for a process that is started with it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The file that tells how many seconds a process's wall clock is off; wall_clock.c reads it.
pub const OFFSET: &str = "WALL_CLOCK_OFFSET";

/// The library, and the file with the offset.
pub struct WallClock {
    pub library: PathBuf,
    pub offset: PathBuf,
    _dir: tempfile::TempDir,
}

impl WallClock {
    /// A clock that is right so far.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (library, offset) = (dir.path().join("wall_clock.so"), dir.path().join("offset"));
        std::fs::write(&offset, 0_i64.to_ne_bytes()).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/it/support/wall_clock.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]);
        let compiled = cc.output().await.expect("a C compiler is there, as for the host's SQLite");
        assert!(compiled.status.success(), "{cc:?}: {}", String::from_utf8_lossy(&compiled.stderr));
        Self { library, offset, _dir: dir }
    }

    /// Sets the clock so many seconds off.
    pub fn set(offset: &Path, off_s: i64) {
        File::options().write(true).open(offset).unwrap().write_all_at(&off_s.to_ne_bytes(), 0).unwrap();
    }
}
