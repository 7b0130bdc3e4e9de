use wasq_core::clock;
use wasq_core::message::{BodyDigest, MessageId, UnixMs};

use super::*;
use crate::entry::claim;
use crate::ledger::ClaimRequest;

fn claimed(fence: Fence) -> Stored {
    let (body, message_id) = (BodyDigest([0; 32]), MessageId("m".into()));
    let request = ClaimRequest { body, message_id, lease: Duration::ZERO, is_redelivery: false };
    let entry = claim(None, None, &request, fence, UnixMs(0)).1.expect("nobody has claimed it").entry;
    Stored { entry, steps_since: fence }
}

#[test]
fn a_void_batch_leaves_the_leases_as_they_were() {
    let (now, key, other) = (clock::now(), Key([1; 32]), Key([2; 32]));
    let minute = Duration::from_secs(60);
    let mut leases = Leases::default();
    leases.hold(key, claimed(Fence(1)), false, now, minute);
    leases.settle();

    leases.extend(key, now, minute * 3);
    leases.end(key);
    leases.hold(key, claimed(Fence(2)), true, now, minute * 2);
    leases.hold(other, claimed(Fence(3)), false, now, minute);
    leases.take_back();

    assert!(leases.is_held_by(key, Fence(1)) && !leases.may_have_steps(key));
    assert_eq!(leases.remaining(key, now), Some(minute));
    assert_eq!(leases.remaining(other, now), None);
}

#[test]
fn leases_that_have_run_out_are_forgotten() {
    let (now, key) = (clock::now(), Key([1; 32]));
    let mut leases = Leases::default();
    leases.hold(key, claimed(Fence(1)), false, now, Duration::MAX);
    leases.forget_ended();
    assert!(leases.knows(key));
    assert_eq!(leases.remaining(key, now + LONGEST), None);
    leases.forget_ended();
    assert!(!leases.knows(key));
}

#[test]
fn a_key_waits_for_all_of_its_steps() {
    let (key, other) = (Key([1; 32]), Key([2; 32]));
    let mut leases = Leases::default();
    leases.hold(key, claimed(Fence(1)), false, clock::now(), Duration::ZERO);
    leases.settle();
    leases.step_comes(key);
    leases.step_comes(key);
    assert!(leases.may_have_steps(key));
    for still_coming in [true, false] {
        leases.step_came(key);
        assert_eq!((leases.is_step_coming(key), leases.is_step_coming(other)), (still_coming, false));
    }
}
