use super::*;

const NOW: UnixMs = UnixMs(1_000);

fn then(key: &str, on_failure: OnFailure) -> Then {
    Then { key: key.into(), queue: "jobs".into(), kind: "video_ready".into(), on_failure, parts: 1 }
}

fn addition(by: &str, of: &str, chunks: &[u32], then: Option<Then>) -> Addition {
    let members = (!chunks.is_empty()).then(|| (of.to_owned(), chunks.to_vec()));
    Addition { by: by.into(), members, then, members_max: 30 }
}

fn sum(open: u32, done: u32, dead_lettered: u32) -> Sum {
    Sum { members: open + done + dead_lettered, open, counts: Counts { done, discarded: 0, dead_lettered } }
}

/// One of three members, with what follows.
fn of_three(on_failure: OnFailure) -> Record {
    let mut record = Record::new(NOW);
    assert_eq!(record.add(&addition("a", "x", &[3], Some(then("t", on_failure))), NOW), Ok(true));
    record
}

#[test]
fn a_group_ends_when_all_have_ended_and_not_before() {
    let mut record = of_three(OnFailure::Send);
    assert!(record.update_chunk("a", "x", 0, sum(1, 2, 0), NOW));
    assert_eq!(record.state, State::Open);
    assert!(record.update_chunk("a", "x", 0, sum(0, 2, 1), NOW));
    assert_eq!((record.state, record.counts()), (State::Ended, Counts { done: 2, discarded: 0, dead_lettered: 1 }));
}

#[test]
fn a_group_without_a_follow_up_stays_open() {
    let mut record = Record::new(NOW);
    assert_eq!(record.add(&addition("a", "x", &[1], None), NOW), Ok(true));
    assert!(record.update_chunk("a", "x", 0, sum(0, 1, 0), NOW));
    assert_eq!(record.state, State::Open);
    assert_eq!(record.add(&addition("b", "", &[], Some(then("t", OnFailure::Send))), NOW), Ok(true));
    assert_eq!(record.state, State::Ended);
}

#[test]
fn a_group_of_nothing_ends_at_once() {
    let mut record = Record::new(NOW);
    assert_eq!(record.add(&addition("a", "", &[], Some(then("t", OnFailure::Cancel))), NOW), Ok(true));
    assert_eq!((record.state, record.members()), (State::Ended, 0));
}

#[test]
fn what_is_said_twice_changes_nothing() {
    let mut record = of_three(OnFailure::Send);
    let again = addition("a", "x", &[3], Some(then("t", OnFailure::Send)));
    assert_eq!(record.add(&again, NOW), Ok(false));
    assert!(record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    assert!(!record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    // What was known before the end is known after it.
    assert_eq!((record.add(&again, NOW), record.state), (Ok(false), State::Ended));
}

#[test]
fn an_older_word_on_a_chunk_changes_nothing() {
    let mut record = of_three(OnFailure::Wait);
    assert!(record.update_chunk("a", "x", 0, sum(0, 2, 1), NOW));
    assert!(!record.update_chunk("a", "x", 0, sum(1, 1, 1), NOW), "it was said before the other");
    assert!(!record.update_chunk("b", "x", 0, sum(0, 3, 0), NOW), "nobody knows this adder");
    assert!(!record.update_chunk("a", "y", 0, sum(0, 3, 0), NOW), "nor these members");
    assert!(!record.update_chunk("a", "x", 1, sum(0, 3, 0), NOW), "nor this chunk");
    assert_eq!(record.counts(), Counts { done: 2, discarded: 0, dead_lettered: 1 });
}

#[test]
fn a_group_that_waits_ends_when_its_dead_letter_succeeds() {
    let mut record = of_three(OnFailure::Wait);
    assert!(record.update_chunk("a", "x", 0, sum(0, 2, 1), NOW));
    assert_eq!(record.state, State::Open);
    assert!(record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    assert_eq!(record.state, State::Ended);
}

#[test]
fn a_dead_letter_cancels_a_group_before_the_others_have_ended() {
    let mut record = of_three(OnFailure::Cancel);
    assert!(record.update_chunk("a", "x", 0, sum(2, 0, 1), NOW));
    assert_eq!(record.state, State::Cancelled);
    assert!(record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    assert_eq!(record.state, State::Cancelled, "it stays so, whatever is replayed");
}

#[test]
fn a_dead_letter_that_succeeds_after_the_end_is_counted_and_nothing_follows_again() {
    let mut record = of_three(OnFailure::Send);
    assert!(record.update_chunk("a", "x", 0, sum(0, 2, 1), NOW));
    record.is_sent = true;
    assert!(record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    assert_eq!((record.state, record.is_sent, record.counts().done), (State::Ended, true, 3));
}

#[test]
fn members_may_add_members_while_they_run() {
    let mut record = of_three(OnFailure::Send);
    assert!(record.update_chunk("a", "x", 0, sum(1, 2, 0), NOW));
    // The last one sends two more, and then ends.
    assert_eq!(record.add(&addition("b", "z", &[2], None), NOW), Ok(true));
    assert!(record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    assert_eq!(record.state, State::Open);
    assert!(record.update_chunk("b", "z", 0, sum(0, 2, 0), NOW));
    assert_eq!((record.state, record.members()), (State::Ended, 5));
}

#[test]
fn a_handler_that_was_corrected_sends_others_in_their_place() {
    let mut record = of_three(OnFailure::Send);
    assert!(record.update_chunk("a", "x", 0, sum(1, 2, 0), NOW));
    assert_eq!(record.add(&addition("a", "y", &[2], Some(then("t", OnFailure::Send))), NOW), Ok(true));
    assert!(!record.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    assert!(record.update_chunk("a", "y", 0, sum(0, 2, 0), NOW));
    assert_eq!((record.state, record.members()), (State::Ended, 2));
}

#[test]
fn what_a_group_does_not_take_is_refused_in_words() {
    let check = |record: &Record, addition: &Addition, words: &str| {
        let mut after = record.clone();
        let refused = after.add(addition, NOW).expect_err("it is refused");
        assert!(refused.contains(words), "{refused}");
    };
    let open = of_three(OnFailure::Send);
    check(
        &open,
        &addition("b", "", &[], Some(then("u", OnFailure::Send))),
        "has its `then` already, the `video_ready`",
    );
    check(
        &open,
        &addition("b", "z", &[10, 10, 8], None),
        "would have 31 members; the limit is 30 (limits.group_members)",
    );
    let mut ended = open.clone();
    assert!(ended.update_chunk("a", "x", 0, sum(0, 3, 0), NOW));
    check(&ended, &addition("b", "z", &[1], None), "has ended: no member can join it");
    check(&ended, &addition("b", "", &[], Some(then("u", OnFailure::Send))), "nothing else can follow");
    let mut cancelled = of_three(OnFailure::Cancel);
    assert!(cancelled.update_chunk("a", "x", 0, sum(2, 0, 1), NOW));
    check(&cancelled, &addition("b", "z", &[1], None), "was cancelled");
    let mut many = Record::new(NOW);
    for n in 0..ADDERS_MAX {
        let addition = Addition { members_max: 10_000, ..addition(&n.to_string(), "x", &[1], None) };
        assert_eq!(many.add(&addition, NOW), Ok(true));
    }
    let one_more = Addition { members_max: 10_000, ..addition("one more", "x", &[1], None) };
    check(&many, &one_more, "has members of 1000 messages' handlers already");
}

#[test]
fn the_largest_record_fits_a_document() {
    let mut record = Record::new(UnixMs(1_700_000_000_000));
    let digest = "0123456789abcdef";
    for n in 0..ADDERS_MAX {
        // Ten thousand members of a thousand handlers are ten of each.
        let addition = Addition {
            by: format!("{n:016x}"),
            members: Some((digest.into(), vec![10])),
            then: (n == 0).then(|| then(&"k".repeat(64), OnFailure::Cancel)),
            members_max: 10_000,
        };
        assert_eq!(record.add(&addition, NOW), Ok(true));
    }
    for n in 0..ADDERS_MAX {
        assert!(record.update_chunk(&format!("{n:016x}"), digest, 0, sum(0, 10, 0), NOW));
    }
    let json = serde_json::to_vec(&record).expect("it is text and numbers");
    assert!(json.len() < wasq_ledgers::documents::VALUE_MAX_BYTES / 2, "{}", json.len());
    assert_eq!(serde_json::from_slice::<Record>(&json).expect("it is one"), record);
}
