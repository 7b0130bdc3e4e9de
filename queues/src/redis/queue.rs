//! One stream of a Redis, as the host has any queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Value, cmd};
use wasq_core::clock;
use wasq_core::message::{Delivery, MessageId, Receipt, UnixMs, size_bytes};

use super::config::{RedisConfig, RedisOrder, VISIBILITY_MIN};
use super::consumer::{Consumer, EntryRef};
use super::entry::{array, message_id, sent_at, text};
use super::error::{CallTarget, failed, unexpected};
use super::fields;
use super::intake::{Change, Intake, SHOWN_MS, number};
use super::looks::Looks;
use super::scripts;
use super::store::Store;
use super::stream;
use crate::attributes::QueueAttributes;
use crate::broker::{Broker, REDIS_MESSAGE_MAX_BYTES, VISIBILITY_MAX};
use crate::queue::{BATCH_MAX_ENTRIES, Outgoing, Queue, QueueError};

/// Pending entries that a count looks at for those that are due. What is beyond them counts as in
/// hand.
const COUNTED_MAX: usize = 10_000;

/// One queue on Redis. Clones are the same one.
#[derive(Clone)]
pub struct RedisQueue {
    intake: Arc<Intake>,
    url: Arc<str>,
    is_outlet: bool,
}

impl RedisQueue {
    /// Opens a queue by its stream's name. An outlet is only sent to, and needs no group.
    pub(super) async fn open(
        store: &Arc<Store>,
        config: &RedisConfig,
        name: &str,
        is_outlet: bool,
    ) -> Result<Self, QueueError> {
        let group = (!is_outlet).then_some(config.group.as_str());
        let target = store.target().stream(name, group);
        stream::check(store, &target, name, group).await?;
        let intake = Intake {
            store: store.clone(),
            target,
            config: config.clone(),
            stream: name.to_owned(),
            id: store.id_of(name),
            uuid: uuid::Uuid::new_v4(),
            ready: Default::default(),
            looks: Looks::new(),
            readers: Default::default(),
            in_order: Default::default(),
        };
        Ok(Self { url: store.url_of(name).into(), intake: Arc::new(intake), is_outlet })
    }

    /// Answers in the order of the receipts. `call` gets those that can be read.
    async fn with_each<T>(
        &self,
        entries: Vec<(&Receipt, T)>,
        call: impl AsyncFnOnce(Vec<(EntryRef, T)>) -> Result<Vec<i64>, QueueError>,
    ) -> Vec<Result<(), QueueError>> {
        let mut known = Vec::new();
        let mut is_known = Vec::new();
        for (receipt, more) in entries {
            let entry = EntryRef::read(receipt);
            is_known.push(entry.is_some());
            known.extend(entry.map(|entry| (entry, more)));
        }
        let count = known.len();
        let answers = if known.is_empty() { Ok(Vec::new()) } else { call(known).await };
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error); count],
        }
        .into_iter();
        let answer = |is_known: bool| {
            if !is_known {
                return Err(lost("it is no receipt of a stream's"));
            }
            match answers.next().expect("each entry is answered")? {
                1 => Ok(()),
                -1 => {
                    self.intake.warn_of_gone(1);
                    Err(lost("its message was deleted from the stream before it was handled"))
                }
                _ => Err(lost("its message has been settled, or has been delivered again")),
            }
        };
        is_known.into_iter().map(answer).collect()
    }

    /// Lets go of entries, or renews them.
    async fn change(&self, changes: &[(Receipt, u32)], lets_go: bool) -> Vec<Result<(), QueueError>> {
        let entries = changes.iter().map(|(receipt, seconds)| (receipt, *seconds)).collect();
        self.with_each(entries, async |entries| {
            let change = |(entry, seconds): &(EntryRef, u32)| {
                let is_hidden = lets_go || *seconds == 0;
                let to = match is_hidden {
                    true if self.keeps_order() => Consumer::waiting(),
                    true => entry.consumer.hidden(),
                    false => entry.consumer.clone(),
                };
                Change { idle_ms: idle_ms(&to, *seconds), to, entry: entry.clone() }
            };
            let changes: Vec<_> = entries.iter().map(change).collect();
            let answers = self.intake.change(&changes).await?;
            let mut is_sooner = false;
            for ((change, (_, seconds)), answer) in changes.into_iter().zip(entries).zip(&answers) {
                if *answer == 1 && change.to != change.entry.consumer {
                    if self.keeps_order() {
                        is_sooner |= seconds == 0;
                        continue;
                    }
                    let hidden = Duration::from_secs(seconds.into()).min(visibility(&change.entry));
                    let entry = EntryRef { consumer: change.to, ..change.entry };
                    is_sooner |= self.intake.looks.hide(entry, clock::now() + hidden);
                }
            }
            if is_sooner {
                self.intake.ready.news.notify_waiters();
            }
            Ok(answers)
        })
        .await
    }
}

fn lost(message: &str) -> QueueError {
    QueueError::LeaseLost { message: message.into() }
}

fn visibility(entry: &EntryRef) -> Duration {
    Duration::from_millis(entry.consumer.visibility_ms())
}

/// For how long an entry is to have been idle so that it is due in so many seconds, at most its
/// holder's visibility.
fn idle_ms(holder: &Consumer, seconds: u32) -> u64 {
    match seconds {
        0 => SHOWN_MS,
        seconds => holder.visibility_ms().saturating_sub(u64::from(seconds) * 1_000),
    }
}

/// Why a message is not sent at all. Redis itself would take it, and keep it in its memory.
fn too_large(target: &CallTarget, message: &Outgoing) -> Option<QueueError> {
    let (bytes, most) = (size_bytes(&message.body, &message.attributes), REDIS_MESSAGE_MAX_BYTES);
    (bytes > most).then(|| {
        let message = format!(
            "{target}: the message has {bytes} bytes with its attributes, and {most} are sent at most: send less, or keep the \
             body elsewhere and send where it is"
        );
        QueueError::Permanent { code: "TooLarge".into(), message }
    })
}

#[async_trait]
impl Queue for RedisQueue {
    fn name(&self) -> &str {
        &self.intake.stream
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn broker(&self) -> Broker {
        Broker::Redis
    }

    fn keeps_order(&self) -> bool {
        self.intake.config.order == RedisOrder::Stream
    }

    fn is_one_group(&self) -> bool {
        self.keeps_order()
    }

    fn hides_up_to(&self) -> Duration {
        if self.keeps_order() { VISIBILITY_MAX } else { self.broker().hides_up_to() }
    }

    /// Read by the same group. What is done there is deleted.
    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        let Intake { store, config, .. } = &*self.intake;
        let config = RedisConfig { delete: true, order: RedisOrder::None, ..config.clone() };
        Ok(Arc::new(Self::open(store, &config, store.name_of(named), false).await?))
    }

    async fn with_own_connection(&self) -> Option<Arc<dyn Queue>> {
        let Intake { store, target, config, stream, id, .. } = &*self.intake;
        let intake = Intake {
            store: Arc::new(store.with_own_connection()),
            target: target.clone(),
            config: config.clone(),
            stream: stream.clone(),
            id: id.clone(),
            uuid: uuid::Uuid::new_v4(),
            ready: Default::default(),
            looks: Looks::new(),
            readers: Default::default(),
            in_order: Default::default(),
        };
        Some(Arc::new(Self { intake: Arc::new(intake), ..self.clone() }))
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let max = max.min(BATCH_MAX_ENTRIES);
        match self.keeps_order() {
            true => self.intake.receive_in_order(max, wait, visibility).await,
            false => self.intake.receive(max, wait, visibility).await,
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        let entries = receipts.iter().map(|receipt| (receipt, ())).collect();
        let settle = async |entries: Vec<(EntryRef, ())>| {
            let settled = self.intake.settle(&entries.into_iter().map(|(entry, ())| entry).collect::<Vec<_>>()).await;
            if self.keeps_order() {
                // The next one may come.
                self.intake.ready.news.notify_waiters();
            }
            settled
        };
        self.with_each(entries, settle).await
    }

    /// At most for the visibility that it was received with.
    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        self.change(changes, false).await
    }

    async fn hide(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        self.change(changes, true).await
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let Intake { store, target, config, stream, id, .. } = &*self.intake;
        let mut commands = redis::pipe();
        commands.ignore_errors();
        let refused: Vec<_> = messages.iter().map(|message| too_large(target, message)).collect();
        for (message, _) in messages.iter().zip(&refused).filter(|(_, refused)| refused.is_none()) {
            let add = commands.cmd("XADD").arg(stream).arg("NOMKSTREAM");
            if let Some(maxlen) = config.maxlen {
                add.arg("MAXLEN").arg("~").arg(maxlen.get());
            }
            add.arg("*");
            for (name, value) in fields::write(message, &config.body_field) {
                add.arg(name).arg(value);
            }
        }
        let count = refused.iter().filter(|refused| refused.is_none()).count();
        if count == 0 {
            return refused.into_iter().flatten().map(Err).collect();
        }
        let answers = match store.ask_all(target, &commands).await {
            Ok(answers) if answers.len() == count => answers,
            Ok(_) => return vec![Err(unexpected(target)); messages.len()],
            Err(error) => return vec![Err(error); messages.len()],
        };
        let mut sent = answers.into_iter().map(|answer| match answer {
            Ok(Value::Nil) => Err(target.no_stream()),
            Ok(answer) => text(answer).map(|entry| message_id(id, &entry)).ok_or_else(|| unexpected(target)),
            Err(error) => Err(failed(target, &error)),
        });
        let answer_of = |refused| match refused {
            Some(error) => Err(error),
            None => sent.next().unwrap_or_else(|| Err(unexpected(target))),
        };
        refused.into_iter().map(answer_of).collect()
    }

    /// The counts of all hosts, by SQS's names. Nobody counts what an outlet's readers have.
    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        if self.is_outlet {
            return Ok(QueueAttributes::new());
        }
        let Intake { store, target, config, stream, .. } = &*self.intake;
        let arguments = [config.group.clone(), VISIBILITY_MIN.as_millis().to_string(), COUNTED_MAX.to_string()];
        let call = scripts::call(&scripts::COUNT, stream, &arguments[..]);
        let answer = store.run(target, &scripts::COUNT, &call).await?;
        let counts = array(answer).map(|counts| counts.into_iter().map(number).collect::<Option<Vec<_>>>());
        let Some(Some([all, pending, due, lag])) = counts.map(|counts| <[i64; 4]>::try_from(counts?).ok()) else {
            return Err(unexpected(target));
        };
        let undelivered = match config.delete {
            true => Some((all - pending).max(0)),
            // The stream keeps what is done. Redis may not know how much of it is not.
            false => Some(lag).filter(|lag| *lag >= 0),
        };
        let waiting = undelivered.map(|undelivered| ("", undelivered + due));
        let counts = waiting.into_iter().chain([("NotVisible", (pending - due).max(0)), ("Delayed", 0)]);
        Ok(counts.map(|(kind, count)| (format!("ApproximateNumberOfMessages{kind}"), count.to_string())).collect())
    }

    async fn oldest(&self) -> Result<Option<UnixMs>, QueueError> {
        let Intake { store, target, config, stream, .. } = &*self.intake;
        if !config.delete {
            return Ok(None);
        }
        let first: Value = store.ask(target, cmd("XRANGE").arg(stream).arg("-").arg("+").arg("COUNT").arg(1)).await?;
        let first = array(first).ok_or_else(|| unexpected(target))?.into_iter().next();
        let id = first.and_then(|entry| text(array(entry)?.into_iter().next()?));
        Ok(id.map(|id| sent_at(&id, clock::unix_ms())))
    }
}
