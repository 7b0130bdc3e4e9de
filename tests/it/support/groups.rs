//! Groups as handlers make them, told to the host's store.

use wasq::groups::{EndState, FollowUp, GroupStore, Joining, Membership, NewMember, OnFailure};
use wasq_core::message::{AttributeValue, Key};
use wasq_queues::Outgoing;

use super::Rig;
use super::setup::{KIND, QUEUE};

/// The host's groups.
pub fn store(rig: &Rig) -> &GroupStore {
    rig.services().groups.as_deref().expect("the ledger keeps groups")
}

/// A group with members of this type, of which none has ended, and with what follows.
pub async fn make(rig: &Rig, id: &str, kind: &str, members: usize, then: Option<OnFailure>) -> Vec<Membership> {
    let member = |n| NewMember { key: format!("key-{n:03}"), queue: QUEUE.into(), kind: kind.into() };
    let follow_up = |on_failure| {
        let attributes = [("type".into(), AttributeValue::string(KIND))].into_iter().collect();
        let body = rig.sink.ask("then").to_string().into();
        let message = Outgoing { body, attributes, delay_s: 0, group: None, deduplication_id: None };
        FollowUp { key: format!("then/{id}"), queue: QUEUE.into(), kind: kind.into(), on_failure, message }
    };
    let joining = Joining { group: id.into(), members: (0..members).map(member).collect(), then: then.map(follow_up) };
    store(rig).join(Key::derive(&[id.as_bytes()]), &joining).await.expect("the group takes them")
}

/// A member has ended. What is done has a result, and what is not a reason.
pub async fn end(rig: &Rig, member: &Membership, state: EndState, words: &str) {
    let (result, reason) = match state {
        EndState::Done => (Some(words.as_bytes().to_vec()), String::new()),
        EndState::Discarded | EndState::DeadLettered => (None, words.to_owned()),
    };
    store(rig).end(member, state, result, reason).await.expect("the ledger answers");
}
