use super::*;

const NOW: Ms = 1_000_000;

fn ask(max: usize, now: Ms) -> Ask {
    Ask { max, visibility_ms: 30_000, now, wall_ms: now, expired_before_ms: 0, max_receives: None }
}

fn queue(fifo: bool, groups: &[&str]) -> Backlog<()> {
    let mut backlog = Backlog::new(fifo);
    for (seq, group) in groups.iter().enumerate() {
        let group = (!group.is_empty()).then_some(*group);
        backlog.insert(seq as u64, Uuid::nil(), NOW, group, MessageState::default(), ());
    }
    backlog
}

fn seqs(taken: &Taken<()>) -> Vec<u64> {
    taken.deliveries.iter().map(|delivery| delivery.seq).collect()
}

#[track_caller]
fn check_take(backlog: &mut Backlog<()>, ask: Ask, expect: &[u64]) {
    assert_eq!(seqs(&backlog.take(ask)), expect);
}

#[test]
fn taken_messages_hide_and_come_back() {
    let mut backlog = queue(false, &["", "", ""]);
    check_take(&mut backlog, ask(2, NOW), &[0, 1]);
    check_take(&mut backlog, ask(10, NOW), &[2]);
    assert_eq!(backlog.counts(NOW), BacklogCounts { visible: 0, delayed: 0, in_flight: 3 });
    assert_eq!(backlog.next_visible_at(), Some(NOW + 30_000));
    check_take(&mut backlog, ask(10, NOW + 29_999), &[]);
    let again = backlog.take(ask(10, NOW + 30_000));
    assert_eq!(seqs(&again), [0, 1, 2]);
    let state = again.deliveries[0].entry.state;
    assert_eq!((state.count, state.first_received_ms, state.received_at), (2, NOW, NOW + 30_000));
}

#[test]
fn a_delayed_message_waits() {
    let mut backlog = queue(false, &[]);
    let state = MessageState { visible_at: NOW + 5_000, ..MessageState::default() };
    backlog.insert(7, Uuid::nil(), NOW, None, state, ());
    assert_eq!(backlog.counts(NOW), BacklogCounts { visible: 0, delayed: 1, in_flight: 0 });
    check_take(&mut backlog, ask(1, NOW), &[]);
    check_take(&mut backlog, ask(1, NOW + 5_000), &[7]);
}

#[test]
fn a_group_waits_for_what_is_in_flight() {
    let mut backlog = queue(true, &["a", "b", "a", "b", "a"]);
    check_take(&mut backlog, ask(2, NOW), &[0, 2]);
    check_take(&mut backlog, ask(10, NOW), &[1, 3]);
    check_take(&mut backlog, ask(10, NOW), &[]);
    assert!(backlog.remove(0));
    check_take(&mut backlog, ask(10, NOW), &[]);
    assert!(backlog.remove(2));
    check_take(&mut backlog, ask(10, NOW), &[4]);
}

#[test]
fn a_group_gives_what_precedes_its_first_message_in_flight() {
    for (shown, expect) in
        [(&[][..], &[][..]), (&[0], &[0]), (&[1], &[]), (&[0, 1], &[0, 1]), (&[0, 2], &[0]), (&[1, 2], &[])]
    {
        let mut backlog = queue(true, &["a", "a", "a"]);
        check_take(&mut backlog, ask(10, NOW), &[0, 1, 2]);
        for seq in shown {
            assert!(backlog.change_visibility(*seq, 1, 0, u64::MAX / 2, NOW).is_ok());
        }
        check_take(&mut backlog, ask(10, NOW), expect);
    }
    // The same when visibility ends by itself.
    let mut backlog = queue(true, &["a", "a", "a"]);
    check_take(&mut backlog, ask(10, NOW), &[0, 1, 2]);
    assert!(backlog.change_visibility(1, 1, 60_000, u64::MAX / 2, NOW).is_ok());
    check_take(&mut backlog, ask(10, NOW + 30_000), &[0]);
    check_take(&mut backlog, ask(10, NOW + 60_000), &[0, 1, 2]);
}

#[test]
fn groups_take_turns() {
    let at_once = |max| Ask { visibility_ms: 0, ..ask(max, NOW) };
    // As many as possible of one group, then the next; who was received from comes last.
    let mut backlog = queue(true, &["a", "b", "b", "c", "a"]);
    check_take(&mut backlog, at_once(3), &[0, 4, 1]);
    check_take(&mut backlog, at_once(10), &[3, 0, 4, 1, 2]);
    // A group that becomes visible again comes after those that were visible before.
    let mut backlog = queue(true, &["a", "a", "b"]);
    check_take(&mut backlog, ask(2, NOW), &[0, 1]);
    assert!(backlog.change_visibility(0, 1, 0, u64::MAX / 2, NOW).is_ok());
    check_take(&mut backlog, ask(3, NOW), &[2, 0]);
    let mut backlog = queue(true, &["a", "a", "a", "b", "c"]);
    check_take(&mut backlog, ask(2, NOW), &[0, 1]);
    assert!(backlog.remove(0) && backlog.remove(1));
    check_take(&mut backlog, ask(10, NOW), &[3, 4, 2]);
    // Nobody starves: a group keeps its turn whatever is sent meanwhile.
    let mut backlog = queue(true, &["a", "b"]);
    check_take(&mut backlog, at_once(1), &[0]);
    check_take(&mut backlog, at_once(1), &[1]);
    backlog.insert(2, Uuid::nil(), NOW, Some("c"), MessageState::default(), ());
    check_take(&mut backlog, at_once(1), &[0]);
}

#[test]
fn a_dead_message_blocks_its_group_until_it_is_moved() {
    let mut backlog = queue(true, &["a", "a", "b"]);
    let strict = |now| Ask { max_receives: Some(1), ..ask(1, now) };
    check_take(&mut backlog, strict(NOW), &[0]);
    let taken = backlog.take(Ask { max: 10, ..strict(NOW + 30_000) });
    assert_eq!((seqs(&taken), taken.dead[0].seq), (vec![2], 0));
    check_take(&mut backlog, ask(10, NOW + 30_000), &[]);
    backlog.remove(0);
    check_take(&mut backlog, ask(10, NOW + 30_000), &[1]);
}

#[test]
fn expired_messages_are_not_delivered() {
    let mut backlog = queue(false, &["", ""]);
    // One that was moved here with its age, behind younger ones.
    backlog.insert(2, Uuid::nil(), NOW - 10, None, MessageState::default(), ());
    let taken = backlog.take(Ask { expired_before_ms: NOW - 5, ..ask(10, NOW) });
    assert_eq!((seqs(&taken), taken.expired), (vec![0, 1], vec![2]));
    let taken = backlog.take(Ask { expired_before_ms: NOW + 1, ..ask(10, NOW) });
    assert_eq!(taken.expired, [0, 1]);
    assert_eq!(backlog.counts(NOW), BacklogCounts::default());
}

#[test]
fn visibility_changes_for_any_delivery_up_to_a_bound() {
    let change = |backlog: &mut Backlog<()>, count, visibility_ms, now| {
        backlog.change_visibility(0, count, visibility_ms, 43_200_000, now).map(|state| state.visible_at)
    };
    let mut backlog = queue(false, &[""]);
    check_take(&mut backlog, ask(1, NOW), &[0]);
    assert_eq!(change(&mut backlog, 1, 60_000, NOW + 1), Ok(NOW + 60_001));
    assert_eq!(change(&mut backlog, 1, 43_200_000, NOW + 1), Err(NotHidden::TooLong));
    // Its time is over: it is hidden again, and is no new delivery.
    assert_eq!(change(&mut backlog, 1, 10, NOW + 60_001), Ok(NOW + 60_011));
    check_take(&mut backlog, ask(1, NOW + 60_010), &[]);
    check_take(&mut backlog, ask(1, NOW + 60_011), &[0]);
    // So it is by an older delivery.
    assert_eq!(change(&mut backlog, 1, 0, NOW + 60_012), Ok(0));
    check_take(&mut backlog, ask(1, NOW + 60_012), &[0]);
    backlog.remove(0);
    assert_eq!(change(&mut backlog, 1, 1, NOW), Err(NotHidden::Gone));
}

#[test]
fn in_a_fifo_queue_visibility_changes_only_for_the_last_delivery_while_it_lasts() {
    let mut backlog = queue(true, &["a"]);
    let change = |backlog: &mut Backlog<()>, count, now| {
        backlog.change_visibility(0, count, 1, 43_200_000, now).map(|state| state.visible_at)
    };
    assert_eq!(change(&mut backlog, 0, NOW), Err(NotHidden::Gone));
    check_take(&mut backlog, ask(1, NOW), &[0]);
    assert_eq!(change(&mut backlog, 2, NOW), Err(NotHidden::Gone));
    assert_eq!(change(&mut backlog, 1, NOW), Ok(NOW + 1));
    assert_eq!(change(&mut backlog, 1, NOW + 1), Err(NotHidden::Gone));
}

#[test]
fn no_more_than_the_limit_is_in_flight() {
    let mut backlog = queue(false, &vec![""; MAX_IN_FLIGHT + 1]);
    for _ in 0..MAX_IN_FLIGHT / 10 {
        assert!(!backlog.take(ask(10, NOW)).over_limit);
    }
    assert!(backlog.take(ask(10, NOW)).over_limit);
    backlog.remove(0);
    check_take(&mut backlog, ask(10, NOW), &[MAX_IN_FLIGHT as u64]);
}

/// Random calls, with a naive reading of the rules beside them.
#[test]
fn random_calls_keep_every_count_and_every_order() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut backlog = queue(true, &[]);
        let mut now = NOW;
        let mut flying: BTreeMap<u64, (u32, Ms)> = BTreeMap::new();
        let mut alive: BTreeMap<u64, u64> = BTreeMap::new();
        for seq in 0..300 {
            let group = rng.u64(0..4);
            backlog.insert(seq, Uuid::nil(), now, Some(&group.to_string()), MessageState::default(), ());
            alive.insert(seq, group);
            now += rng.u64(0..10_000);
            flying.retain(|_, (_, until)| *until > now);
            for delivery in backlog.take(ask(rng.usize(1..4), now)).deliveries {
                let group = alive[&delivery.seq];
                let older = alive.iter().filter(|(seq, of)| **seq < delivery.seq && **of == group);
                // Older ones of the group may only fly in the same answer, which `flying` holds
                // already.
                assert!(
                    older.into_iter().all(|(seq, _)| flying.get(seq).is_some_and(|(_, until)| *until == now + 30_000))
                );
                flying.insert(delivery.seq, (delivery.entry.state.count, now + 30_000));
            }
            if let Some((&seq, &(count, _))) = flying.iter().nth(rng.usize(0..3)) {
                if rng.bool() {
                    assert!(backlog.remove(seq));
                    alive.remove(&seq);
                } else {
                    assert!(backlog.change_visibility(seq, count, 0, u64::MAX / 2, now).is_ok());
                }
                flying.remove(&seq);
            }
            let expect = BacklogCounts { visible: alive.len() - flying.len(), delayed: 0, in_flight: flying.len() };
            assert_eq!(backlog.counts(now), expect, "seed {seed}");
        }
    }
}
