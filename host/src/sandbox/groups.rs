//! What a handler may call of the contract about groups.

use super::bindings::wasq::worker::{groups, outbox};
use super::state::State;
use crate::groups::{EndState, EndedGroup, GroupPart, Member, Membership, NAME_MAX_BYTES, OnFailure, Role, group_id};

impl groups::Host for State {
    fn send(
        &mut self,
        group: Option<String>,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
    ) -> Result<(), outbox::Error> {
        let group = self.group(group)?;
        self.push(queue, kind, body, options, Some(Box::new(GroupPart { group, role: Role::Member })))
    }

    fn then(
        &mut self,
        group: Option<String>,
        on_failure: groups::OnFailure,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
    ) -> Result<(), outbox::Error> {
        let group = self.group(group)?;
        let is_then = |part: &GroupPart| part.group == group && part.role != Role::Member;
        if self.outbox.messages().iter().any(|message| message.part.as_deref().is_some_and(is_then)) {
            return Err(outbox::Error::Limit(format!("the group `{group}` has its `then` already: it can have one")));
        }
        if options.as_ref().is_some_and(|options| options.delay_s > 0) {
            return Err(outbox::Error::Limit("a message that follows a group has no delay".into()));
        }
        let role = Role::Then(match on_failure {
            groups::OnFailure::Send => OnFailure::Send,
            groups::OnFailure::Wait => OnFailure::Wait,
            groups::OnFailure::Cancel => OnFailure::Cancel,
        });
        self.push(queue, kind, body, options, Some(Box::new(GroupPart { group, role })))
    }

    fn ended(&mut self) -> Option<groups::Summary> {
        let EndedGroup { group, counts } = EndedGroup::of(&self.message.attributes)?;
        Some(groups::Summary {
            name: group.split_once('/').map_or(group.as_str(), |(_, name)| name).to_owned(),
            done: counts.done,
            discarded: counts.discarded,
            dead_lettered: counts.dead_lettered,
        })
    }

    async fn members(&mut self, first: u32) -> Result<Vec<groups::Member>, groups::ReadError> {
        self.calls.step += 1;
        let gone = |reason: &str| groups::ReadError::Gone(reason.into());
        let unavailable = |error: wasq_ledgers::LedgerError| groups::ReadError::Unavailable(error.to_string());
        let ended =
            EndedGroup::of(&self.message.attributes).ok_or_else(|| gone("the message follows no group's end"))?;
        let store = self.groups.clone().ok_or_else(|| gone("the ledger keeps no groups"))?;
        let record = store.record(&ended.group).await.map_err(unavailable)?;
        let record = record.ok_or_else(|| gone("the ledger does not have the group any more"))?;
        let page = store.members(&ended.group, &record, first as usize).await.map_err(unavailable)?;
        let mut members = Vec::with_capacity(page.members.len());
        for member in page.members {
            let result = store.result(&member).await.map_err(unavailable)?;
            members.push(shown(member, result));
        }
        Ok(members)
    }
}

impl State {
    /// The id of the group that a handler names, or of the one that its message is a member of.
    fn group(&self, name: Option<String>) -> Result<String, outbox::Error> {
        match name {
            Some(name) if name.is_empty() || name.len() > NAME_MAX_BYTES => {
                let len = name.len();
                Err(outbox::Error::Limit(format!("a group's name has 1 to {NAME_MAX_BYTES} bytes, and this one {len}")))
            }
            Some(name) => Ok(group_id(&self.policy.plugin, &name)),
            None => Membership::of(&self.message.attributes).map(|member| member.group).ok_or_else(|| {
                outbox::Error::Limit("the message is a member of no group; name one of this plugin's own".into())
            }),
        }
    }
}

fn shown(member: Member, result: Option<Vec<u8>>) -> groups::Member {
    let end = member.end.map(|end| match end.state {
        EndState::Done => groups::End::Done(result),
        EndState::Discarded => groups::End::Discarded(end.reason),
        EndState::DeadLettered => groups::End::DeadLettered(end.reason),
    });
    groups::Member { queue: member.queue, kind: member.kind, end }
}
