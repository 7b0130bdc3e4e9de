//! How messages are sent: each with a confirm, and with the word that it is to come back if no queue
//! takes it.
//!
//! Sends have a connection of their own. RabbitMQ stops reading from a connection on which messages
//! come while it is short of memory or disk: acknowledgements on it would wait, too.
//!
//! A send has a channel to itself, of a pool. lapin gives a message that came back to whichever
//! confirm comes next. Only when all confirms of a channel are there is it certain which messages
//! came back: they are told by their ids.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::{Semaphore, watch};
use wasq_core::clock;
use wasq_core::message::MessageId;

use super::error::{CallTarget, failed, no_answer_in_time};
use super::link::{CALL_TIMEOUT, Link, Live, call};
use super::message::Publication;
use crate::queue::{Outgoing, QueueError};

/// Sends under way at once.
const CHANNELS_MAX: usize = 16;
/// How long confirms that are under way may still come when RabbitMQ takes no more messages.
const BLOCKED_GRACE: Duration = Duration::from_secs(1);
/// What a frame has beside its payload (AMQP 0-9-1, 2.3.5).
const FRAME_BYTES: usize = 8;

type Answer = Result<MessageId, QueueError>;

/// Where messages go.
pub struct Destination {
    /// Empty is the default exchange.
    pub exchange: ShortString,
    pub routing_key: ShortString,
}

pub struct Publisher {
    link: Link,
    room: Semaphore,
}

impl Publisher {
    pub fn new(link: Link) -> Self {
        Self { link, room: Semaphore::new(CHANNELS_MAX) }
    }

    /// Sends messages, all of them under way together. Answers in their order.
    pub async fn send(&self, to: &Destination, messages: &[Outgoing]) -> Vec<Answer> {
        let now = clock::unix_ms();
        let prepared: Vec<_> = messages.iter().map(|message| Publication::of(message, now)).collect();
        let publications: Vec<_> = prepared.iter().flatten().collect();
        let mut sent =
            if publications.is_empty() { Vec::new() } else { self.publish(to, &publications).await }.into_iter();
        let answers = prepared.iter().map(|prepared| match prepared {
            Ok(_) => sent.next().expect("each publication is answered"),
            Err(refused) => Err(refused.clone()),
        });
        answers.collect()
    }

    async fn publish(&self, to: &Destination, publications: &[&Publication]) -> Vec<Answer> {
        let all = |error: QueueError| vec![Err(error); publications.len()];
        let live = match self.link.connection(clock::now()).await {
            Ok(live) => live,
            Err(error) => return all(error),
        };
        let target = live.target().exchange(&to.exchange.to_string());
        let mut blocked = live.blocked();
        let reason = blocked.borrow_and_update().clone();
        if let Some(reason) = reason {
            return all(is_blocked(&target, &reason));
        }
        let Ok(Ok(_room)) = tokio::time::timeout(CALL_TIMEOUT, self.room.acquire()).await else {
            return all(no_answer_in_time(&target, CALL_TIMEOUT));
        };
        let channel = match channel(&live, &target).await {
            Ok(channel) => channel,
            Err(error) => return all(error),
        };
        let batch = Batch { to, target: &target, publications, frame_max: live.frame_max() };
        let (answers, is_whole) = batch.publish(&channel, blocked).await;
        // A channel with confirms to come would give the next send what is not its own.
        if is_whole && channel.status().connected() {
            live.spare.lock().push(channel);
        }
        answers
    }
}

/// A channel in confirm mode that is nobody else's.
async fn channel(live: &Live, target: &CallTarget) -> Result<Channel, QueueError> {
    loop {
        let spare = live.spare.lock().pop();
        match spare {
            Some(channel) if channel.status().connected() => return Ok(channel),
            Some(_) => {}
            None => break,
        }
    }
    let channel = live.channel(target).await?;
    call(target, channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// One send's messages.
struct Batch<'a> {
    to: &'a Destination,
    target: &'a CallTarget,
    publications: &'a [&'a Publication],
    frame_max: usize,
}

impl Batch<'_> {
    /// The answers, and whether every confirm is there.
    async fn publish(&self, channel: &Channel, mut blocked: watch::Receiver<Option<String>>) -> (Vec<Answer>, bool) {
        let mut confirms: FuturesUnordered<_> = (0..self.publications.len())
            .map(|index| async move { (index, self.confirm(channel, index).await) })
            .collect();
        let mut outcomes: Vec<Option<Result<Confirmation, QueueError>>> = Vec::new();
        outcomes.resize_with(self.publications.len(), || None);
        let late = tokio::time::sleep(CALL_TIMEOUT);
        tokio::pin!(late);
        let mut reason = None;
        loop {
            tokio::select! {
                biased;
                confirm = confirms.next() => match confirm {
                    Some((index, outcome)) => outcomes[index] = Some(outcome),
                    None => break,
                },
                Ok(()) = blocked.changed(), if reason.is_none() => {
                    reason = blocked.borrow_and_update().clone();
                    if reason.is_some() {
                        late.as_mut().reset(clock::now() + BLOCKED_GRACE);
                    }
                }
                () = &mut late => break,
            }
        }
        let is_whole = outcomes.iter().all(Option::is_some);
        let unanswered = || match &reason {
            Some(reason) => is_blocked(self.target, reason),
            None => no_answer_in_time(self.target, CALL_TIMEOUT),
        };
        (self.answers(outcomes, is_whole, &unanswered), is_whole)
    }

    async fn confirm(&self, channel: &Channel, index: usize) -> Result<Confirmation, QueueError> {
        let publication = self.publications[index];
        if publication.header_bytes + FRAME_BYTES > self.frame_max {
            let message = format!(
                "the attributes take {} bytes; they go in one frame, and RabbitMQ takes frames of {}: put more into the body",
                publication.header_bytes, self.frame_max
            );
            return Err(QueueError::Permanent { code: "TooLarge".into(), message });
        }
        let published = channel.basic_publish(
            self.to.exchange.clone(),
            self.to.routing_key.clone(),
            BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
            &publication.body,
            publication.properties.clone(),
        );
        let confirm = async { published.await?.await };
        confirm.await.map_err(|error| self.refused(publication, &error))
    }

    /// Why a message was not confirmed. RabbitMQ ends the channel over one message, and the others
    /// on it are to be sent again.
    fn refused(&self, publication: &Publication, error: &lapin::Error) -> QueueError {
        match (failed(self.target, error), too_large(error)) {
            (QueueError::Permanent { message, .. }, Some(bytes)) if bytes == publication.body.len() => {
                QueueError::Permanent { code: "TooLarge".into(), message }
            }
            (QueueError::Permanent { message, .. }, Some(_)) => {
                QueueError::Transient { code: "ConnectionLost".into(), message: format!("{message}; sent beside it") }
            }
            (error, _) => error,
        }
    }

    /// What each confirm says. Without all of them it is not certain which messages came back, and
    /// none counts as sent.
    fn answers(
        &self,
        outcomes: Vec<Option<Result<Confirmation, QueueError>>>,
        is_whole: bool,
        unanswered: &dyn Fn() -> QueueError,
    ) -> Vec<Answer> {
        let mut returned = HashMap::new();
        let mut acked = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let (outcome, back) = match outcome {
                Some(Ok(Confirmation::Ack(back))) => (Ok(true), back),
                Some(Ok(Confirmation::Nack(back))) => (Ok(false), back),
                Some(Ok(Confirmation::NotRequested)) => (Ok(false), None),
                Some(Err(error)) => (Err(error), None),
                None => (Err(unanswered()), None),
            };
            acked.push(outcome);
            returned.extend(back.and_then(|back| Some((id_of(&back)?, back.reply_text.to_string()))));
        }
        let answers = acked.into_iter().zip(self.publications).map(|(acked, publication)| {
            let id = publication.id.clone();
            match acked {
                Err(error) => Err(error),
                Ok(_) if let Some(text) = returned.get(&id.0) => Err(self.no_route(text)),
                Ok(true) if is_whole => Ok(id),
                Ok(true) => Err(unanswered()),
                Ok(false) => Err(self.nacked()),
            }
        });
        answers.collect()
    }

    fn no_route(&self, text: &str) -> QueueError {
        let key = self.to.routing_key.as_str();
        let message = format!(
            "{}: {text}: no queue takes messages with the routing key {key:?}; make the queue, or bind one to the exchange",
            self.target
        );
        QueueError::Permanent { code: "NoRoute".into(), message }
    }

    fn nacked(&self) -> QueueError {
        let message = format!("{}: RabbitMQ could not take the message on, and says no more", self.target);
        QueueError::Transient { code: "Nacked".into(), message }
    }
}

fn is_blocked(target: &CallTarget, reason: &str) -> QueueError {
    let message = format!("{target}: RabbitMQ takes no messages now: {reason}");
    QueueError::Transient { code: "ConnectionBlocked".into(), message }
}

fn id_of(back: &BasicReturnMessage) -> Option<String> {
    back.properties.message_id().as_ref().map(ShortString::to_string)
}

/// The bytes of the body that RabbitMQ found too large: it says "message size 17 is larger than
/// configured max size 16".
fn too_large(error: &lapin::Error) -> Option<usize> {
    let text = error.to_string();
    let (size, _) = text.split_once("message size ")?.1.split_once(" is larger")?;
    size.parse().ok()
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPSoftError};

    use super::*;

    #[test]
    fn the_message_that_was_too_large_is_known_by_its_size() {
        let text = "PRECONDITION_FAILED - message size 2000 is larger than configured max size 1000";
        let kind = AMQPSoftError::PRECONDITIONFAILED.into();
        let error = lapin::Error::from(lapin::ErrorKind::ProtocolError(AMQPError::new(kind, text.into())));
        assert_eq!(too_large(&error), Some(2_000));
        assert_eq!(too_large(&lapin::ErrorKind::ChannelsLimitReached.into()), None);
    }
}
