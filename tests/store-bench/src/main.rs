//! Runs the ledger's workload against embedded stores and prints what each made of it.
//!
//! `store-bench` runs every store; `store-bench sqlite redb` runs those; `store-bench torn` tears
//! their logs. Each store is filled with a million entries by a child process that is then killed,
//! reopened (timed), and put under load.

mod drive;
mod report;
mod stores;
mod torn;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use report::Row;

/// Entries in the store before the load starts: some days of a busy host.
const ENTRIES: u64 = 1_000_000;
/// Alternating runs a store; the report takes the median of each figure.
const ROUNDS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["fill", name, dir] => fill(name, Path::new(dir)),
        ["open", name, dir] => time_open(name, Path::new(dir)),
        ["torn", name, dir, bytes] => {
            torn::write(name, Path::new(dir), bytes.parse().expect("the parent gives a number"))
        }
        ["torn"] => in_scratch(torn::compare),
        names => return compare(names),
    }
    ExitCode::SUCCESS
}

/// Every named store (all, if none is named) in turn, `ROUNDS` times over, so that a neighbour's
/// load on the machine does not fall on one store alone.
fn compare(names: &[&str]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| !stores::NAMES.contains(name)) {
        eprintln!("unknown store {unknown}; there are {}", stores::NAMES.join(", "));
        return ExitCode::from(2);
    }
    let chosen = if names.is_empty() { stores::NAMES } else { names };
    in_scratch(|base| measure_all(chosen, base));
    ExitCode::SUCCESS
}

/// Runs `work` in a new directory and removes it.
fn in_scratch(work: impl FnOnce(&Path)) {
    let base = std::env::temp_dir().join(format!("store-bench-{}", std::process::id()));
    work(&base);
    std::fs::remove_dir_all(&base).expect("the directory was made by this run");
}

fn measure_all(chosen: &[&str], base: &Path) {
    let mut rows: Vec<Vec<Row>> = vec![Vec::new(); chosen.len()];
    for round in 0..ROUNDS {
        for (store, name) in chosen.iter().enumerate() {
            let dir = base.join(format!("{name}-{round}"));
            let row = measure(name, &dir);
            eprintln!("round {round}: {}", row.line(name));
            rows[store].push(row);
            std::fs::remove_dir_all(&dir).expect("the directory was made by this run");
        }
    }
    println!("{}", Row::HEAD);
    for (store, name) in chosen.iter().enumerate() {
        println!("{}", Row::median(&rows[store]).line(name));
    }
}

fn measure(name: &str, dir: &Path) -> Row {
    std::fs::create_dir_all(dir).expect("the temporary directory is writable");
    run_child(&["fill", name, &dir.display().to_string()], true);
    let open_ms = run_child(&["open", name, &dir.display().to_string()], false);
    let load = drive::run(stores::open(name, dir), ENTRIES);
    Row::new(load, open_ms.parse().expect("the child prints milliseconds"), report::disk_mib(dir))
}

/// Runs this program again and gives its first line; kills it (signal 9) at that line when asked
/// to.
fn run_child(arguments: &[&str], kill: bool) -> String {
    let this = std::env::current_exe().expect("a running program has a path");
    let mut child = Command::new(this).args(arguments).stdout(Stdio::piped()).spawn().expect("it starts once more");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it was piped")).read_line(&mut line).expect("the child prints a line");
    if kill {
        child.kill().expect("it is ours, and waits");
    }
    child.wait().expect("it is ours");
    line.trim().to_owned()
}

/// Writes [`ENTRIES`] entries, says so, and waits to be killed.
fn fill(name: &str, dir: &Path) {
    let mut store = stores::open(name, dir);
    const BATCH: u64 = 1_000;
    for start in (0..ENTRIES).step_by(BATCH as usize) {
        let writes: Vec<_> =
            (start..start + BATCH).map(|n| (drive::key(n), drive::value(n, drive::DONE_BYTES))).collect();
        store.commit(&writes, false);
    }
    store.commit(&[(drive::key(0), drive::value(0, drive::DONE_BYTES))], true);
    println!("filled");
    loop {
        std::thread::park();
    }
}

/// Prints how many milliseconds it takes to open the store and read one entry.
fn time_open(name: &str, dir: &Path) {
    let start = drive::now();
    let mut store = stores::open(name, dir);
    assert!(store.get(&drive::key(ENTRIES - 1)).is_some(), "the last entry was written before the kill");
    println!("{}", start.elapsed().as_millis());
}
