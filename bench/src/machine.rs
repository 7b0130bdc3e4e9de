//! What the bench ran on.

use std::path::Path;

use crate::pins::Pins;
use crate::report::Machine;

impl Machine {
    pub fn of(pins: Pins, data: &Path) -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = load();
        Self {
            cpu: model.map_or("CPU of unknown make", |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            pins,
            file_system: file_system(data),
            load_before: load,
            load_after: load,
        }
    }
}

/// The load over the last minute; 0 where there is no /proc.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The kind of file system under a path, from the longest of the mount points in /proc/self/mounts
/// that it lies under.
fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let under = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    under.max_by_key(|(length, _)| *length).map_or("an unknown file system", |(_, kind)| kind).to_owned()
}
