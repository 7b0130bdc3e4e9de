//! What belongs to a group joins it before it is sent.

use wasq_core::message::Key;

use super::insist::insist;
use super::outbox::{SendError, destination, outgoing};
use super::plugin_attempt::PluginAttempt;
use crate::groups::{
    FollowUp, GroupPart, GroupStore, JoinError, Joining, MEMBER_ATTRIBUTE, Membership, NewMember, Role,
};
use crate::sandbox::OutboxMessage;

/// Tells the groups what an outbox adds to them. What is left are the messages to be sent now, each
/// member with its place.
pub async fn join_groups(
    plugin_attempt: &PluginAttempt<'_>,
    parent: Key,
    messages: Vec<OutboxMessage>,
) -> Result<Vec<OutboxMessage>, SendError> {
    let Some(store) = &plugin_attempt.services.groups else {
        return Err(SendError::Failed("the ledger keeps no documents, which groups need".into()));
    };
    let mut joinings: Vec<(Joining, Vec<usize>)> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let Some(GroupPart { group, role }) = message.part.as_deref() else { continue };
        let at = joinings.iter().position(|(joining, _)| joining.group == *group).unwrap_or_else(|| {
            joinings.push((Joining { group: group.clone(), members: Vec::new(), then: None }, Vec::new()));
            joinings.len() - 1
        });
        let (joining, places) = &mut joinings[at];
        let (queue_name, queue) = destination(plugin_attempt, &message.queue)?;
        let (key, queue_name, kind) = (message.key.clone(), queue_name.to_owned(), message.kind.clone());
        match role {
            Role::Member => {
                joining.members.push(NewMember { key, queue: queue_name, kind });
                places.push(n);
            }
            Role::Then(on_failure) => {
                let message = outgoing(plugin_attempt, message, &**queue);
                let message = queue.prepare(message).await.map_err(|error| {
                    SendError::Failed(format!("cannot prepare a message to {}: {error}", queue.name()))
                })?;
                joining.then = Some(FollowUp { key, queue: queue_name, kind, on_failure: *on_failure, message });
            }
        }
    }
    let mut messages: Vec<Option<OutboxMessage>> = messages
        .into_iter()
        .map(|message| {
            let follows = message.part.as_ref().is_some_and(|part| part.role != Role::Member);
            (!follows).then_some(message)
        })
        .collect();
    for (joining, places) in &joinings {
        let members = join(plugin_attempt, store, parent, joining).await?;
        for (member, n) in members.iter().zip(places) {
            if let Some(message) = &mut messages[*n] {
                message.attributes.insert(MEMBER_ATTRIBUTE.into(), member.attribute());
            }
        }
    }
    Ok(messages.into_iter().flatten().collect())
}

async fn join(
    plugin_attempt: &PluginAttempt<'_>,
    store: &GroupStore,
    parent: Key,
    joining: &Joining,
) -> Result<Vec<Membership>, SendError> {
    // A refusal is an answer, too, and is not asked for again.
    let ask = async || match store.join(parent, joining).await {
        Ok(members) => Ok(Ok(members)),
        Err(error @ JoinError::Refused { .. }) => Ok(Err(error.to_string())),
        Err(JoinError::Ledger(error)) => Err(error),
    };
    insist(plugin_attempt, ask).await.map_err(SendError::Ledger)?.map_err(SendError::Refused)
}
