//! What a run measured, and its row in the table.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::drive::Load;

/// One run's figures.
#[derive(Clone, Debug)]
pub struct Row {
    pairs_per_s: f64,
    /// p50, p99, p99.9 and the worst, in milliseconds.
    claim_ms: [f64; 4],
    complete_ms: [f64; 4],
    /// Answers that took longer than [`STALL`].
    stalls: f64,
    open_ms: f64,
    disk_mib: f64,
}

/// From here on a wait is called a stall.
const STALL: Duration = Duration::from_millis(100);

impl Row {
    pub const HEAD: &str = "\
| store | claim+complete/s | claim p50 / p99 / p99.9 / max, ms | complete p50 / p99 / p99.9 / max, ms | waits > 100 ms | reopen after kill, ms | disk, MiB |
| --- | --- | --- | --- | --- | --- | --- |";

    pub fn new(load: Load, open_ms: f64, disk_mib: f64) -> Self {
        let stalls = load.claims.iter().chain(&load.completes).filter(|wait| **wait > STALL).count() as f64;
        Self {
            pairs_per_s: load.completes.len() as f64 / load.took.as_secs_f64(),
            claim_ms: quantiles(load.claims),
            complete_ms: quantiles(load.completes),
            stalls,
            open_ms,
            disk_mib,
        }
    }

    /// The median of each figure on its own.
    pub fn median(rows: &[Row]) -> Self {
        let of = |figure: &dyn Fn(&Row) -> f64| {
            let mut figures: Vec<f64> = rows.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            pairs_per_s: of(&|row| row.pairs_per_s),
            claim_ms: std::array::from_fn(|i| of(&|row| row.claim_ms[i])),
            complete_ms: std::array::from_fn(|i| of(&|row| row.complete_ms[i])),
            stalls: of(&|row| row.stalls),
            open_ms: of(&|row| row.open_ms),
            disk_mib: of(&|row| row.disk_mib),
        }
    }

    pub fn line(&self, name: &str) -> String {
        let join = |ms: &[f64; 4]| ms.map(|ms| format!("{ms:.1}")).join(" / ");
        format!(
            "| {name} | {:.0} | {} | {} | {} | {} | {:.0} |",
            self.pairs_per_s,
            join(&self.claim_ms),
            join(&self.complete_ms),
            self.stalls,
            self.open_ms,
            self.disk_mib
        )
    }
}

fn quantiles(mut waits: Vec<Duration>) -> [f64; 4] {
    waits.sort();
    let last = waits.len().saturating_sub(1);
    let at = |part: f64| waits.get((last as f64 * part) as usize).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    [at(0.5), at(0.99), at(0.999), at(1.0)]
}

/// MiB of disk that the files of a directory take, holes not counted.
pub fn disk_mib(dir: &Path) -> f64 {
    fn bytes(dir: &Path) -> u64 {
        std::fs::read_dir(dir)
            .expect("the store's directory is there")
            .map(|entry| entry.expect("it can be listed"))
            .map(|entry| {
                let meta = entry.metadata().expect("nobody else deletes from it");
                if meta.is_dir() { bytes(&entry.path()) } else { meta.blocks() * 512 }
            })
            .sum()
    }
    bytes(dir) as f64 / f64::from(1 << 20)
}
