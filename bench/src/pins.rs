//! Which cores the processes run on: the queue on the last, the contestant on the first ones.

use std::path::Path;

use serde::Serialize;
use tokio::process::Command;

/// The program that pins another one: util-linux has it.
const TASKSET: &str = "taskset";

/// The cores of each process. None: wherever the system puts it.
#[derive(Clone, Debug, Serialize)]
pub struct Pins {
    pub contestant: Option<Vec<usize>>,
    /// The local queue, and the producer of the latency run.
    pub queue: Option<Vec<usize>>,
}

impl Pins {
    /// Of the cores that we may use, `cores` for the contestant and the last for the queue. A
    /// single core is not divided, nor is anything where there is no `taskset`.
    pub fn new(cores: usize) -> Self {
        match allowed() {
            Some(allowed) if allowed.len() > 1 && pins() => Self {
                contestant: Some(allowed.iter().copied().take(cores).collect()),
                queue: allowed.last().map(|last| vec![*last]),
            },
            _ => Self { contestant: None, queue: None },
        }
    }

    pub fn words(&self) -> String {
        match (&self.contestant, &self.queue) {
            (Some(contestant), Some(queue)) => {
                let shared = queue.iter().any(|core| contestant.contains(core));
                let shared = if shared { ", which they share in part" } else { "" };
                format!("contestants on core {}, the queue on core {}{shared}", list(contestant), list(queue))
            }
            _ => "nothing is pinned: that takes two cores, and taskset (util-linux)".to_owned(),
        }
    }
}

/// A program to be run on these cores.
pub fn on(cores: Option<&[usize]>, program: &Path) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let mut command = Command::new(TASKSET);
    command.arg("--cpu-list").arg(list(cores)).arg(program);
    command
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Whether we can pin.
fn pins() -> bool {
    std::process::Command::new(TASKSET).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The cores that this process may run on, where there is a /proc.
fn allowed() -> Option<Vec<usize>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    parse(line.trim())
}

/// A list of cores as the kernel writes it: `0-3,8`.
fn parse(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_of_cores_are_read() {
        let check = |text: &str, expect: Option<&[usize]>| assert_eq!(parse(text).as_deref(), expect, "{text:?}");
        check("0", Some(&[0]));
        check("0-1", Some(&[0, 1]));
        check("2,4-6,9", Some(&[2, 4, 5, 6, 9]));
        check("", None);
        check("a-b", None);
    }
}
