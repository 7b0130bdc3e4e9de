use wasq_core::message::UnixMs;

use super::*;
use crate::telemetry::top_keys::KeyUsage;

fn line(kind: &str, runs: u64, cpu_s: f64, wait_s: f64, received_bytes: u64) -> LineUsage {
    let calls = [("http".to_owned(), runs)].into();
    LineUsage {
        kind: kind.into(),
        plugin: "p".into(),
        runs,
        cpu_s,
        wait_s,
        received_bytes,
        calls,
        ..LineUsage::default()
    }
}

fn key(name: &str, entered: u64, runs: u64, cpu_s: f64) -> PluginKey {
    let usage = KeyUsage { key: name.into(), entered, runs, cpu_s, ..KeyUsage::default() };
    PluginKey { plugin: "p".into(), usage }
}

fn answer(at_ms: u64, process_cpu_s: f64, lines: Vec<LineUsage>, keys: Vec<PluginKey>) -> Answer {
    Answer { at: UnixMs(at_ms), process_cpu_s, lines, keys }
}

#[test]
fn what_was_used_between_two_looks_is_told_with_the_most_first_and_adds_up() {
    let before = answer(
        1_000,
        10.0,
        vec![line("resize", 100, 5.0, 1.0, 0), line("mail", 100, 1.0, 9.0, 50), line("idle", 7, 1.0, 1.0, 7)],
        vec![key("acme", 1, 10, 4.0), key("zoo", 2, 1, 0.5)],
    );
    let now = answer(
        3_000,
        13.0,
        vec![
            line("resize", 110, 6.5, 1.1, 0),
            line("mail", 300, 1.5, 29.0, 5_050),
            line("idle", 7, 1.0, 1.0, 7),
            // It goes on, and has not ended once.
            line("new", 0, 0.25, 0.0, 0),
        ],
        vec![key("acme", 1, 12, 4.25), key("zoo", 9, 3, 0.75), key("old", 3, 0, 0.0)],
    );
    let check = |by, expect: [&str; 3]| {
        let used = Used::between(&before, &now, by, 10);
        assert_eq!(used.lines.iter().map(|line| line.kind.as_str()).collect::<Vec<_>>(), expect, "{by:?}");
        let guests: f64 = used.lines.iter().map(|line| line.cpu_s).sum();
        assert_eq!((used.elapsed_s, used.cpu_s, guests + used.host_cpu_s), (2.0, 3.0, 3.0));
        used
    };
    check(By::Wait, ["mail", "resize", "new"]);
    check(By::Egress, ["mail", "resize", "new"]);
    let used = check(By::Cpu, ["resize", "mail", "new"]);
    let keys: Vec<_> = used.keys.iter().map(|key| (key.usage.key.as_str(), key.usage.runs, key.usage.cpu_s)).collect();
    // The second has come back since: all that it has used is new.
    assert_eq!(keys, [("zoo", 3, 0.75), ("acme", 2, 0.25)]);
    assert_eq!(Used::between(&before, &now, By::Cpu, 1).keys.len(), 1);

    let page = used.page(120);
    let rows: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        &["resize", "p", "75.0", "5.0", "150", "ms", "0", "µs", "10", "ms", "0", "B", "0", "B", "5.0"][..],
        &["mail", "p", "25.0", "100.0", "2.5", "ms", "0", "µs", "100", "ms", "0", "B", "2.4", "KiB", "100.0"],
        &["new", "p", "12.5", "0.0", "-", "-", "-", "0", "B", "0", "B", "0.0"],
        &["(the", "host", "itself)", "37.5"],
        &["(all)", "150.0"],
        &["zoo", "p", "37.5", "1.5", "250", "ms", "0", "µs", "0", "µs", "0", "B", "0", "B"],
    ] {
        assert!(rows.iter().any(|other| other == row), "{row:?}:\n{page}");
    }
    for width in [100, 60, 40] {
        let widest = used.page(width).lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(width), "{widest:?} of {width}");
    }
}

#[test]
fn a_host_that_has_started_anew_is_told_from_its_start_on() {
    let (before, now) = (
        answer(1_000, 10.0, vec![line("t", 5, 9.0, 0.0, 0)], vec![]),
        answer(3_000, 0.5, vec![line("t", 7, 9.1, 0.0, 0)], vec![]),
    );
    let used = Used::between(&before, &now, By::Cpu, 10);
    assert_eq!((used.cpu_s, used.lines[0].runs, used.host_cpu_s), (0.5, 7, 0.0));
}

#[test]
fn times_and_sizes_are_short() {
    assert_eq!([0.000_085, 0.0012, 0.34, 12.3].map(time), ["85 µs", "1.2 ms", "340 ms", "12 s"]);
    assert_eq!([12.0, 1_500.0, 20.0 * 1024.0 * 1024.0].map(size), ["12 B", "1.5 KiB", "20.0 MiB"]);
}
