use wasq_queues::LateQueue;

use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn place(at_once: usize) -> Arc<HidingPlace> {
    Arc::new(HidingPlace { queue: Arc::new(LateQueue::new("jobs", "a test has none", None)), at_once })
}

fn paused() -> HeldBy {
    HeldBy::Pause(Target::Type("receipt".into()))
}

fn broken() -> HeldBy {
    HeldBy::Breaker("mail".into())
}

/// Hides a message that was sent at `sent_at` and is called after that.
fn hide(hidden: &HiddenMessages, held_by: HeldBy, sent_at: u64, place: &Arc<HidingPlace>, returns_in: Duration) {
    let to_hide = ToHide { held_by, sent_at: UnixMs(sent_at) };
    hidden.add(to_hide, place, Receipt(sent_at.to_string()), clock::now() + returns_in);
}

/// What is shown, in its order, where there is so much room.
fn shown(hidden: &HiddenMessages, room: Room, now: Instant) -> Vec<String> {
    let shown = hidden.take(|_| room, now);
    shown.into_iter().flat_map(|(_, receipts)| receipts).map(|receipt| receipt.0).collect()
}

#[test]
fn what_was_sent_first_is_shown_first_and_not_all_at_once() {
    let (hidden, place, now) = (HiddenMessages::new(100), place(3), clock::now());
    for sent_at in [5, 1, 4, 2, 3] {
        hide(&hidden, paused(), sent_at, &place, S(60));
    }
    assert_eq!(shown(&hidden, Room::Some(0), now), [""; 0]);
    assert_eq!(shown(&hidden, Room::All, now), ["1", "2", "3"]);
    assert_eq!(shown(&hidden, Room::All, now), ["4", "5"]);
    assert_eq!((shown(&hidden, Room::All, now).len(), hidden.counts()), (0, (0, 5)));
}

#[test]
fn where_there_is_room_for_some_the_next_ones_wait_until_those_are_received() {
    let (hidden, place, now) = (HiddenMessages::new(100), place(10), clock::now());
    for sent_at in 1..=5 {
        hide(&hidden, broken(), sent_at, &place, S(60));
    }
    assert_eq!(shown(&hidden, Room::Some(1), now), ["1"]);
    assert_eq!(shown(&hidden, Room::Some(1), now), [""; 0], "it is the probe");
    assert_eq!(shown(&hidden, Room::Some(2), now + RECEIVED_IN), ["2", "3"]);
    assert_eq!(shown(&hidden, Room::All, now + 2 * RECEIVED_IN), ["4", "5"]);
}

#[test]
fn one_reason_that_is_gone_shows_nothing_of_another() {
    let (hidden, place, now) = (HiddenMessages::new(100), place(10), clock::now());
    hide(&hidden, broken(), 1, &place, S(60));
    hide(&hidden, paused(), 2, &place, S(60));
    let room = |held_by: &HeldBy| if *held_by == paused() { Room::All } else { Room::Some(0) };
    let shown = hidden.take(room, now);
    assert_eq!(shown.into_iter().map(|(_, receipts)| receipts).collect::<Vec<_>>(), [[Receipt("2".into())]]);
    assert_eq!(hidden.counts(), (1, 1));
}

#[test]
fn what_returns_by_itself_is_forgotten_and_there_is_room_for_so_many() {
    let (hidden, place, now) = (HiddenMessages::new(2), place(10), clock::now());
    hide(&hidden, paused(), 1, &place, SOON);
    assert_eq!(hidden.counts(), (0, 0), "it is there in a moment");
    for sent_at in 2..=4 {
        hide(&hidden, paused(), sent_at, &place, S(60));
    }
    assert_eq!(hidden.counts(), (2, 0));
    assert_eq!(shown(&hidden, Room::Some(0), now + S(58)), [""; 0]);
    assert_eq!(hidden.counts(), (2, 0));
    assert_eq!(shown(&hidden, Room::All, now + S(60)), [""; 0], "their receipts are no longer good");
    assert_eq!(hidden.counts(), (0, 0));
}
