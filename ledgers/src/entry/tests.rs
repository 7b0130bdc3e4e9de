use super::*;

const NOW: UnixMs = UnixMs(1_000);
const TTL: Duration = Duration::from_secs(9);

fn claimed() -> Entry {
    Entry {
        state: State::Claimed,
        attempts: 3,
        crashes: 2,
        replays: 1,
        message_id: MessageId("claimed".into()),
        ..Entry::released(Fence(7), UnixMs(0))
    }
}

#[test]
fn each_finish_changes_what_it_says_and_keeps_the_rest() {
    let check = |finish: Finish, expect: Entry, steps: Steps| {
        let change = super::finish(Some(claimed()), Fence(7), finish.clone(), NOW).expect("the claim is ours");
        assert_eq!(change, Some(Change { entry: expect, steps }), "{finish:?}");
    };
    let (over, idle) = (after(NOW, TTL), after(NOW, IDLE_KEPT));
    let done = State::Done { result: Some(b"r".to_vec()), discarded: true };
    check(
        Finish::Done { result: Some(b"r".to_vec()), discarded: true, ttl: TTL },
        Entry { state: done, removable_at: over, ..claimed() },
        Steps::Forgotten,
    );
    let failed =
        Entry { state: State::Released, crashes: 0, first_failed_at: Some(UnixMs(5)), removable_at: idle, ..claimed() };
    check(Finish::Failed { at: UnixMs(5) }, failed, Steps::Kept);
    let released = Entry { state: State::Released, attempts: 2, removable_at: idle, ..claimed() };
    check(Finish::Released { ran: false }, released.clone(), Steps::Kept);
    check(Finish::Released { ran: true }, Entry { crashes: 0, ..released }, Steps::Kept);
    let message_id = MessageId("dead".into());
    let dead = Entry {
        state: State::DeadLettered,
        dead: DeadIds::default().with(&message_id),
        message_id: message_id.clone(),
        attempts: 0,
        crashes: 0,
        removable_at: over,
        ..claimed()
    };
    check(Finish::DeadLettered { message_id, ttl: TTL }, dead, Steps::Kept);
}

#[test]
fn what_failed_before_a_dead_letter_is_not_the_replays() {
    let failed_before = Entry { first_failed_at: Some(UnixMs(1)), ..claimed() };
    let dead = Finish::DeadLettered { message_id: MessageId("dead".into()), ttl: TTL };
    let change = finish(Some(failed_before), Fence(7), dead, NOW).expect("the claim is ours").expect("it changes");
    assert_eq!(change.entry.first_failed_at, None);
}

#[test]
fn the_newest_dead_messages_are_remembered() {
    let id = |n: usize| MessageId(format!("m{n}"));
    let dead = (0..=DeadIds::MAX).fold(DeadIds::default(), |dead, n| dead.with(&id(n)));
    assert!(!dead.contains(&id(0)) && (1..=DeadIds::MAX).all(|n| dead.contains(&id(n))));
    assert_eq!(dead.as_bytes().len(), DeadIds::MAX * DeadIds::BYTES);
}
