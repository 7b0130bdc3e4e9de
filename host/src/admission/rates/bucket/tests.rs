use tokio::sync::oneshot;
use wasq_core::message::UnixMs;

use super::*;
use crate::admission::line::{Answer, Waiter};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A bucket of 100 a second, and how to say what time it is.
fn bucket(burst: u32) -> (Bucket, impl Fn(u64) -> Instant) {
    let began = wasq_core::clock::now() + Duration::from_secs(60);
    let pace = Pace::new("100/s".parse().expect("a rate"), burst);
    (Bucket::new(pace, began), move |ms| began + MS(ms))
}

fn slots(first_ms: u64, count: u32) -> Taken {
    Taken::Slots { first_in: MS(first_ms), count, hosts: 1 }
}

/// Has a message wait that was sent then.
fn join(bucket: &mut Bucket, sent_ms: u64, until: Instant) -> oneshot::Receiver<Answer<Slot>> {
    let (tell, answer) = oneshot::channel();
    bucket.line.join((UnixMs(sent_ms), 0), Waiter { tell, until });
    answer
}

/// How many slots can be used now.
fn use_all(bucket: &mut Bucket, now: Instant) -> usize {
    std::iter::from_fn(|| bucket.use_slot(now)).count()
}

#[test]
fn a_slot_is_used_at_its_time_and_not_before() {
    let (mut bucket, at) = bucket(1);
    bucket.answered(slots(5, 3), at(0), at(0));
    assert_eq!(use_all(&mut bucket, at(4)), 0);
    assert_eq!(use_all(&mut bucket, at(5)), 1);
    assert_eq!(use_all(&mut bucket, at(30)), 2);
    assert_eq!(bucket.counts, Counts { used: 3, hidden: 0, lost: 0 });
}

#[test]
fn a_slot_that_nobody_used_in_time_is_lost() {
    let (mut bucket, at) = bucket(1);
    bucket.answered(slots(0, 50), at(0), at(0));
    // Those of the last 150 ms are still good, and the one of now.
    assert_eq!(use_all(&mut bucket, at(300)), 16);
    assert_eq!(bucket.counts.lost, 15);
    assert_eq!(use_all(&mut bucket, at(9_000)), 0);
    assert_eq!(bucket.counts, Counts { used: 16, hidden: 0, lost: 34 });
}

#[test]
fn a_burst_lets_slots_be_used_early() {
    let (mut bucket, at) = bucket(20);
    bucket.answered(slots(0, 30), at(0), at(0));
    assert_eq!(use_all(&mut bucket, at(0)), 20);
    assert_eq!(use_all(&mut bucket, at(10)), 1);
}

#[test]
fn a_slot_that_goes_back_is_good_for_no_longer_than_it_was() {
    let (mut bucket, at) = bucket(1);
    bucket.answered(slots(0, 1), at(0), at(0));
    for ms in [10, 60, 149] {
        let slot = bucket.use_slot(at(ms)).expect("it is good");
        assert_eq!(slot.good_until, at(300));
        bucket.put_back(slot);
    }
    assert_eq!(use_all(&mut bucket, at(151)), 0);
}

#[test]
fn the_message_that_was_sent_first_goes_first() {
    let (mut bucket, at) = bucket(1);
    let mut answers: Vec<_> = [30, 10, 20].map(|sent| join(&mut bucket, sent, at(5_000))).into();
    bucket.answered(slots(0, 2), at(0), at(0));
    let went = |answers: &mut Vec<oneshot::Receiver<Answer<Slot>>>| -> Vec<bool> {
        answers.iter_mut().map(|answer| matches!(answer.try_recv(), Ok(Answer::Granted(_)))).collect()
    };
    assert_eq!(went(&mut answers), [false, true, false]);
    bucket.serve(at(10));
    assert_eq!(went(&mut answers), [false, false, true]);
}

#[test]
fn a_message_that_has_gone_away_uses_no_slot() {
    let (mut bucket, at) = bucket(1);
    drop(join(&mut bucket, 10, at(5_000)));
    let mut second = join(&mut bucket, 20, at(5_000));
    bucket.answered(slots(0, 1), at(0), at(0));
    assert!(matches!(second.try_recv(), Ok(Answer::Granted(_))));
    drop(join(&mut bucket, 30, at(5_000)));
    bucket.answered(slots(10, 1), at(0), at(10));
    assert_eq!(use_all(&mut bucket, at(10)), 1, "it went back");
}

#[test]
fn the_ledger_is_asked_for_as_much_as_waits_and_when_what_is_in_hand_ends() {
    let (mut bucket, at) = bucket(1);
    assert_eq!(bucket.wants(at(0)), None);
    let _answers: Vec<_> = (0..40).map(|sent| join(&mut bucket, sent, at(5_000))).collect();
    assert_eq!(bucket.wants(at(0)), Some((at(0), 40)));
    bucket.ask(at(0));
    assert_eq!(bucket.wants(at(0)), None, "one call at a time");
    bucket.answered(slots(0, 25), at(0), at(1));
    // One was used at once; the last one's time is 240 ms.
    assert_eq!(bucket.wants(at(1)), Some((at(50), 15)));
    assert_eq!(bucket.due_at(at(1)), Some(at(10)));
}

#[test]
fn who_uses_most_of_a_rate_has_slots_ready_for_what_is_yet_to_come() {
    let (mut bucket, at) = bucket(1);
    bucket.answered(slots(0, 50), at(0), at(0));
    (0..24).for_each(|n| assert!(bucket.use_slot(at(n * 10)).is_some()));
    assert_eq!(bucket.wants(at(400)), None, "less than half of it");
    (24..40).for_each(|n| assert!(bucket.use_slot(at(n * 10)).is_some()));
    assert_eq!(bucket.wants(at(400)), Some((at(400), 30)));
}

#[test]
fn who_would_wait_past_his_time_is_hidden() {
    let (mut bucket, at) = bucket(1);
    let mut answers: Vec<_> = (0..3).map(|sent| join(&mut bucket, sent, at(1_000))).collect();
    bucket.ask(at(0));
    bucket.answered(Taken::Later { ask_in: MS(480), usable_in: MS(980), hosts: 2 }, at(0), at(0));
    // Two hosts share it: 20 ms from one of ours to the next.
    let hidden: Vec<_> = answers.iter_mut().map(|answer| answer.try_recv() == Ok(Answer::Hide)).collect();
    assert_eq!(hidden, [false, false, true]);
    assert_eq!(bucket.wants(at(0)), Some((at(480), 2)));
    assert_eq!(bucket.wait_behind(2, at(0)), MS(1_020));
}

#[test]
fn without_the_ledger_a_host_has_its_share() {
    let (mut bucket, at) = bucket(1);
    bucket.answered(Taken::Slots { first_in: MS(0), count: 1, hosts: 4 }, at(0), at(0));
    assert_eq!(use_all(&mut bucket, at(0)), 1);
    let mut used = 0;
    for ms in (0..10_000).step_by(10) {
        if ms % 500 == 0 {
            bucket.failed(at(ms));
            bucket.take_share(at(ms));
        }
        used += use_all(&mut bucket, at(ms));
    }
    assert!((240..=251).contains(&used), "{used} in 10 s, and a fourth of 100/s is 25/s");
}
