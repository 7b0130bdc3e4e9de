use super::*;

const UNROUTABLE: End = End { exit: "unroutable", settlement: "delay", retry_delay: None, sent_to_done: None };

#[test]
fn types_that_nobody_handles_are_told_apart_up_to_a_limit_and_leave_room_for_the_others() {
    let stats = Stats::default();
    for index in 0..UNROUTED_MAX + 7 {
        stats.line(&format!("made-up-{index}"), "").ended(&UNROUTABLE);
    }
    stats.line("made-up-0", "").ended(&UNROUTABLE);
    stats.duplicate("order", "ship");
    let lines = stats.lines();
    let count = |kind: &str| lines[&(kind.to_owned(), String::new())].exits()[&("unroutable", "delay")];
    assert_eq!((count("made-up-0"), count("(other)"), lines.len()), (2, 7, UNROUTED_MAX + 2));
    assert_eq!(lines[&("order".to_owned(), "ship".to_owned())].duplicates.get(), 1);
}

#[test]
fn what_has_no_line_of_its_own_is_counted_without_waiting_for_whoever_adds_one() {
    let stats = Arc::new(Stats::default());
    let count = |stats: &Stats, kind: &str| stats.line(kind, "").ended(&UNROUTABLE);
    (0..=UNROUTED_MAX).for_each(|number| count(&stats, &format!("made-up-{number}")));
    let (counted, is_counted) = std::sync::mpsc::sync_channel(1);
    let _adding = stats.adding.lock();
    std::thread::spawn({
        let stats = stats.clone();
        move || {
            count(&stats, "one-more");
            counted.send(())
        }
    });
    is_counted.recv_timeout(Duration::from_secs(10)).expect("it waits for no lock");
    let others = &stats.lines()[&(OTHER.to_owned(), String::new())];
    assert_eq!(others.exits()[&("unroutable", "delay")], 2);
}
