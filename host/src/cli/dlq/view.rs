//! How letters look: rows, pages and JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use wasq_core::message::{AttributeData, MessageId, UnixMs};

use crate::cli::table::{Table, list, name, number, text, whole};
use crate::dlq::letter_view::{Envelope, LetterView};
use crate::dlq::listing::{ByMessage, MessageLetters, Row};
use crate::dlq::{AGAIN_ATTRIBUTE, LETTER_ATTRIBUTE};

/// Characters of an id that listings show; it is the beginning that commands take.
const ID_CHARS: usize = 8;
/// Characters of a reason that a listing shows.
const REASON_CHARS: usize = 120;

/// A listing's rows: a message once, with all plugins that gave up on it.
#[derive(Default)]
pub struct Rows(ByMessage);

impl Rows {
    pub fn add(&mut self, view: &LetterView) {
        self.0.add(Row::of(view));
    }

    pub fn is_empty(&self) -> bool {
        self.0.messages().is_empty()
    }

    pub fn print(&self) {
        println!("{}", in_a_table(self.0.messages()));
    }
}

/// Messages as a listing has them. The id is that of one letter of the message.
pub fn in_a_table(messages: &[MessageLetters]) -> Table {
    let mut table = Table::new([
        whole("id"),
        whole("failed"),
        name("type"),
        whole("class"),
        number("attempts"),
        list("plugins"),
        text("reason"),
    ]);
    for message in messages {
        let shown = message.shown();
        let plugins = message.plugins();
        table.add([
            short(&shown.id),
            shown.attempts.map_or_else(|| "?".into(), |_| time(message.failed_at())),
            shown.group.kind.clone().unwrap_or_else(|| "?".into()),
            message.classes().join(", "),
            message.attempts().map_or_else(|| "?".into(), |attempts| attempts.to_string()),
            if plugins.is_empty() { "-".into() } else { plugins.join(", ") },
            cut(&message.reason(), REASON_CHARS),
        ]);
    }
    table
}

/// The beginning of an id.
pub fn short(id: &MessageId) -> String {
    id.0.chars().take(ID_CHARS).collect()
}

/// Text of at most so many characters.
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A time in UTC.
pub fn time(at: UnixMs) -> String {
    let time = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "?".into(), |time| time.strftime("%F %T").to_string())
}

/// A letter as a page.
pub fn print_page(view: &LetterView) {
    println!("id          {}", view.id());
    match &view.envelope {
        Envelope::MovedBySqs => {
            println!("class       {}: it has no envelope", view.class());
            println!("reason      {}", view.reason());
            println!("sent        {}", time(view.delivery.sent_at));
        }
        Envelope::Unreadable(reason) => {
            println!("class       {}", view.class());
            println!("reason      {reason}");
        }
        Envelope::Letter(letter) => {
            println!("from        {} (as {})", letter.queue, letter.message_id);
            println!("type        {}", letter.kind.as_deref().unwrap_or("?"));
            println!("plugin      {}", letter.plugin.as_deref().unwrap_or("-"));
            if let Some(digest) = &letter.digest {
                println!("component   {digest}");
            }
            println!("class       {}", letter.class);
            println!("reason      {}", letter.reason);
            println!("fingerprint {}", view.fingerprint());
            println!("attempts    {} ({} receives)", letter.attempts, letter.receive_count);
            println!("replays     {}", letter.replays);
            if let Some(first) = letter.first_failed_at {
                println!("failed      first {}, last {}", time(first), time(letter.last_failed_at));
            } else {
                println!("failed      {}", time(letter.last_failed_at));
            }
            println!("key         {}", letter.key.as_deref().unwrap_or("-"));
            if let Some(traceparent) = &letter.traceparent {
                println!("traceparent {traceparent}");
            }
        }
    }
    if let Some(group) = view.group() {
        println!("group       {group}");
    }
    for (name, value) in &view.delivery.attributes {
        let note = if name == AGAIN_ATTRIBUTE { "  (replayed with --again)" } else { "" };
        match &value.value {
            _ if name == LETTER_ATTRIBUTE => {}
            AttributeData::Text(text) => println!("attribute   {name} = {text}{note}"),
            AttributeData::Binary(bytes) => println!("attribute   {name} = ({} bytes, binary)", bytes.len()),
        }
    }
    println!("\n{}", String::from_utf8_lossy(&view.delivery.body));
}

/// A letter as listings have it: attributes by their texts.
pub fn listed(view: &LetterView) -> Value {
    json!({
        "id": view.id(),
        "class": view.class(),
        "fingerprint": view.fingerprint(),
        "letter": view.letter(),
        "attributes": attributes(view, |data| match data {
            AttributeData::Text(text) => json!(text),
            AttributeData::Binary(_) => json!("(binary)"),
        }),
        "sent_at": view.delivery.sent_at,
        "group": view.group(),
        "body": String::from_utf8_lossy(&view.delivery.body),
    })
}

/// A message as listings have it: one of its letters, the plugins that gave up on it, and what each
/// of them has said.
pub fn listed_message(mut letter: Value, message: &MessageLetters) -> Value {
    letter["plugins"] = json!(message.plugins());
    let letters = message.letters().map(|row| {
        json!({
            "id": row.id, "plugin": row.plugin, "class": row.group.class, "fingerprint": row.group.fingerprint,
            "reason": row.reason, "attempts": row.attempts,
        })
    });
    letter["letters"] = Value::Array(letters.collect());
    letter
}

/// A letter as an export has it: whole. Attributes have their types, and binary ones are in base64.
pub fn exported(view: &LetterView) -> Value {
    let mut all = attributes(view, |_| Value::Null);
    for (name, entry) in &mut all {
        let value = &view.delivery.attributes[name];
        *entry = match &value.value {
            AttributeData::Text(text) => json!({ "type": value.data_type, "value": text }),
            AttributeData::Binary(bytes) => json!({ "type": value.data_type, "base64": STANDARD.encode(bytes) }),
        };
    }
    json!({
        "id": view.id(),
        "letter": view.letter(),
        "attributes": all,
        "body": String::from_utf8_lossy(&view.delivery.body),
        "sent_at": view.delivery.sent_at,
        "group": view.group(),
    })
}

/// The producer's attributes.
fn attributes(view: &LetterView, show: impl Fn(&AttributeData) -> Value) -> Map<String, Value> {
    let all = view.delivery.attributes.iter().filter(|(name, _)| *name != LETTER_ATTRIBUTE);
    all.map(|(name, value)| (name.clone(), show(&value.value))).collect()
}
