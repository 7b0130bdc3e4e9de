//! What the flow does for groups: what belongs to one joins it before it is sent, and a member's end
//! is recorded before its delivery is deleted.

use std::sync::Arc;

use wasq_core::message::Key;
use wasq_ledgers::{Ended, Finish, LedgerError};

use super::claim::ledger_key;
use super::insist::insist;
use super::outbox::{SendError, destination, outgoing};
use super::plugin_attempt::{AttemptEnd, PluginAttempt};
use crate::exit::Exit;
use crate::groups::{
    EndState, FollowUp, GroupPart, GroupStore, JoinError, Joining, MEMBER_ATTRIBUTE, Membership, NewMember, Role, State,
};
use crate::plugins::Serving;
use crate::sandbox::OutboxMessage;
use crate::sandbox::text::sanitize;

/// The longest reason that is handed to a group, in bytes.
const REASON_MAX_BYTES: usize = 512;

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
                let message = outgoing(plugin_attempt, message, queue.is_fifo());
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

impl PluginAttempt<'_> {
    /// Why a member is not run: its group was cancelled.
    pub(super) async fn cancelled(&self, member: &Membership) -> Result<Option<Exit>, LedgerError> {
        let Some(store) = self.services.groups.as_ref().filter(|_| member.may_be_cancelled) else { return Ok(None) };
        let record = insist(self, || store.record(&member.group)).await?;
        let is_cancelled = record.is_some_and(|record| record.state == State::Cancelled);
        Ok(is_cancelled.then(|| Exit::Cancelled { group: member.group.clone() }))
    }

    /// Records how a member has ended, once its delivery is to be deleted. `all` are the plugins that
    /// it went to, none where it went to no plugin.
    pub(super) async fn end_member(
        &self,
        member: &Membership,
        all: &[Arc<Serving>],
        ended: &[AttemptEnd],
    ) -> Result<(), LedgerError> {
        let Some(store) = &self.services.groups else { return Ok(()) };
        let mut whole = MemberEnd { state: EndState::Discarded, result: None, reason: String::new() };
        for (n, end) in ended.iter().enumerate() {
            whole = whole.and(self.member_end(all.get(n), end).await?);
        }
        let end = || store.end(member, whole.state, whole.result.clone(), whole.reason.clone());
        insist(self, end).await
    }

    async fn member_end(&self, serving: Option<&Arc<Serving>>, end: &AttemptEnd) -> Result<MemberEnd, LedgerError> {
        let reason = || sanitize(&end.exit.reason(), REASON_MAX_BYTES);
        match (&end.settlement.ledger, &end.exit) {
            (Some(Finish::DeadLettered { .. }), _) => Ok(MemberEnd::new(EndState::DeadLettered, reason())),
            (Some(Finish::Done { discarded: true, .. }), _) => Ok(MemberEnd::new(EndState::Discarded, reason())),
            (Some(Finish::Done { result, .. }), _) => {
                Ok(MemberEnd { result: result.clone(), ..MemberEnd::new(EndState::Done, String::new()) })
            }
            (_, Exit::Duplicate { .. }) => self.earlier_end(serving).await,
            (_, _) => Ok(MemberEnd::new(EndState::Discarded, reason())),
        }
    }

    /// How an earlier delivery of the member has ended, or another message with its key.
    async fn earlier_end(&self, serving: Option<&Arc<Serving>>) -> Result<MemberEnd, LedgerError> {
        let ended = match (serving, self.message) {
            (Some(serving), Some(message)) => {
                let plugin = &serving.stable;
                let key = ledger_key(self, message, plugin, &plugin.key_text(message));
                insist(self, || self.services.ledger.ended(key)).await?
            }
            _ => None,
        };
        Ok(match ended {
            Some(Ended::Done { discarded: true, .. }) => {
                MemberEnd::new(EndState::Discarded, "an earlier delivery has discarded it".into())
            }
            Some(Ended::DeadLettered) => {
                let reason = "an earlier delivery was dead-lettered; its dead letter says why";
                MemberEnd::new(EndState::DeadLettered, reason.into())
            }
            Some(Ended::Done { result, .. }) => MemberEnd { result, ..MemberEnd::new(EndState::Done, String::new()) },
            None => MemberEnd::new(EndState::Done, String::new()),
        })
    }
}

/// How a member has ended, over all of its plugins.
struct MemberEnd {
    state: EndState,
    result: Option<Vec<u8>>,
    reason: String,
}

impl MemberEnd {
    fn new(state: EndState, reason: String) -> Self {
        Self { state, result: None, reason }
    }

    /// A dead letter is the worst; what one plugin has done counts before what another has discarded.
    fn and(self, other: Self) -> Self {
        let rank = |end: &Self| match end.state {
            EndState::DeadLettered => 2,
            EndState::Done => 1,
            EndState::Discarded => 0,
        };
        let (mut worse, other) = if rank(&other) >= rank(&self) { (other, self) } else { (self, other) };
        if worse.state == EndState::Done && worse.result.is_none() {
            worse.result = other.result;
        }
        worse
    }
}
