use std::time::Duration;

use bytes::Bytes;
use wasq_core::clock;

use super::*;

fn record(bytes: usize) -> Record {
    Record { bytes, ..Record::default() }
}

fn with(partitions: &[(i32, std::ops::Range<i64>)]) -> Assignment {
    let mut assignment = Assignment::new(KafkaOrder::Key);
    for (number, offsets) in partitions {
        assignment.assign(*number);
        offsets.clone().for_each(|offset| assignment.read(*number, offset, record(1)));
    }
    assignment
}

fn at(seconds: u64) -> Instant {
    clock::now() + Duration::from_secs(seconds)
}

fn hand_out(assignment: &mut Assignment, max: usize, ends_at: Instant) -> Vec<DeliveryRef> {
    assignment.hand_out(max, ends_at).into_iter().map(|(handed, _)| handed).collect()
}

#[test]
fn a_receipt_names_a_delivery() {
    let handed = DeliveryRef { epoch: 3, partition: 12, offset: 1 << 40, delivery: 2 };
    assert_eq!(DeliveryRef::read(&handed.receipt()), Some(handed));
    for receipt in ["", "1", "1:2:3", "1:2:3:4:5", "-1:2:3:4", "1:x:3:4", "AQEB…"] {
        assert_eq!(DeliveryRef::read(&Receipt(receipt.into())), None, "{receipt}");
    }
}

#[test]
fn partitions_take_turns() {
    let mut assignment = with(&[(0, 0..4), (3, 0..2), (7, 0..1)]);
    let handed = hand_out(&mut assignment, 4, at(60));
    let numbers: Vec<_> = handed.iter().map(|handed| handed.partition).collect();
    assert_eq!(numbers, [0, 3, 7, 0]);
    let numbers: Vec<_> = hand_out(&mut assignment, 9, at(60)).iter().map(|handed| handed.partition).collect();
    assert_eq!(numbers, [3, 0, 0]);
    assert_eq!((assignment.in_hand(), assignment.open()), (7, 7));
}

#[test]
fn a_receipt_is_void_once_its_partition_was_away() {
    let mut assignment = with(&[(0, 0..2), (1, 0..1)]);
    let handed = hand_out(&mut assignment, 3, at(60));
    assignment.revoke(0);
    assert_eq!((assignment.in_hand(), assignment.open(), assignment.bytes), (1, 1, 1));
    assignment.assign(0);
    (0..2).for_each(|offset| assignment.read(0, offset, record(1)));
    let again = hand_out(&mut assignment, 3, at(60));
    assert_eq!(again.len(), 2);
    for void in handed.iter().filter(|handed| handed.partition == 0) {
        assert_eq!(assignment.settle(*void), Err(Gone));
        assert_eq!(assignment.renew(*void, at(90)), Err(Gone));
        assert_eq!(assignment.show(*void, at(0)), Err(Gone));
    }
    assert_eq!(again.iter().map(|handed| assignment.settle(*handed)).collect::<Vec<_>>(), [Ok(()), Ok(())]);
    assignment.revoke_all();
    assert_eq!((assignment.in_hand(), assignment.open(), assignment.bytes, assignment.next_due()), (0, 0, 0, None));
    assignment.read(0, 9, record(1));
    assert_eq!(assignment.open(), 0, "it is not ours");
}

#[test]
fn a_lease_that_is_not_renewed_ends_and_what_is_hidden_shows_again() {
    let mut assignment = with(&[(0, 0..4)]);
    let handed = hand_out(&mut assignment, 4, at(30));
    let (sixty, five) = (at(60), at(5));
    assignment.renew(handed[0], sixty).unwrap();
    assignment.hide(handed[1], five).unwrap();
    assignment.settle(handed[2]).unwrap();
    assert_eq!(assignment.next_due(), Some(five));
    assignment.show_due(five);
    assert_eq!(
        hand_out(&mut assignment, 9, at(99)).iter().map(|h| (h.offset, h.delivery)).collect::<Vec<_>>(),
        [(1, 2)]
    );
    assignment.show_due(at(31));
    assert_eq!(
        hand_out(&mut assignment, 9, at(99)).iter().map(|h| (h.offset, h.delivery)).collect::<Vec<_>>(),
        [(3, 2)]
    );
    assert_eq!(assignment.settle(handed[3]), Err(Gone), "its lease has ended");
    assignment.show(handed[0], clock::now()).unwrap();
    assert_eq!(hand_out(&mut assignment, 9, at(99)).len(), 1);
    assert_eq!(assignment.in_hand(), 3);
}

#[test]
fn progress_is_said_once() {
    let mut assignment = with(&[(0, 5..8), (1, 0..1)]);
    assert_eq!(assignment.take_progress(), []);
    let handed = hand_out(&mut assignment, 9, at(60));
    let of = |offset| *handed.iter().find(|handed| (handed.partition, handed.offset) == (0, offset)).unwrap();
    assignment.settle(of(6)).unwrap();
    assert_eq!(assignment.take_progress(), [], "one before it is not done");
    assignment.settle(of(5)).unwrap();
    assert_eq!(assignment.take_progress(), [(0, 7)]);
    assert_eq!(assignment.take_progress(), []);
    assignment.settle(of(7)).unwrap();
    assert_eq!(assignment.take_progress(), [(0, 8)]);
}

#[test]
fn what_is_read_has_bounds() {
    let mut assignment = with(&[(0, 0..10), (1, 0..3)]);
    assert!(assignment.is_full(13) && !assignment.is_full(14));
    assert_eq!(assignment.stretched(4), BTreeSet::from([0]));
    assert_eq!(assignment.stretched(11), BTreeSet::new());
    assignment.read(1, 3, record(BYTES_MAX));
    assert!(assignment.is_full(1_000), "by bytes");
    let handed = hand_out(&mut assignment, 20, at(60));
    assert!(assignment.is_full(1_000), "until they are done");
    handed.iter().for_each(|handed| assignment.settle(*handed).unwrap());
    assert!(!assignment.is_full(1));
}

#[test]
fn of_two_partitions_each_has_its_own_lines() {
    let mut assignment = Assignment::new(KafkaOrder::Key);
    let keyed = || Record { key: Some(Bytes::from_static(b"k")), ..Record::default() };
    for number in [0, 1] {
        assignment.assign(number);
        (0..2).for_each(|offset| assignment.read(number, offset, keyed()));
    }
    assert_eq!(hand_out(&mut assignment, 9, at(60)).len(), 2);
}
