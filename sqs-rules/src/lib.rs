//! What SQS takes as a message, by its API reference. The host refuses by these rules what a
//! handler wants sent, before it is recorded; the local queue refuses by them what any client
//! sends. Pure, and without any type of either.

/// Bytes of a message with its attributes, and of all messages of a batch, at most: 1 MiB (SQS
/// quotas, "Message size").
pub const MAX_MESSAGE_BYTES: usize = 1_048_576;
/// Attributes of a message at most (SQS quotas, "Message attributes").
pub const MAX_ATTRIBUTES: usize = 10;
/// Seconds for which a message can be delayed at most (SendMessage, `DelaySeconds`).
pub const MAX_DELAY_S: u32 = 900;
/// Characters of an attribute's name, and of its data type, at most (SQS developer guide, "Message
/// attribute components").
pub const MAX_ATTRIBUTE_NAME_CHARS: usize = 256;
/// Characters of a queue's name (CreateQueue), of the id of a batch's entry (SendMessageBatch) and
/// of a permission's label (AddPermission) at most.
pub const MAX_NAME_CHARS: usize = 80;
/// Characters of group and deduplication ids at most (SendMessage).
const MAX_ID_CHARS: usize = 128;

/// An attribute's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// Why SQS would refuse something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the character {0:?} is none that SQS takes: those of XML 1.0")]
    Character(char),
    #[error("a name has at most {MAX_ATTRIBUTE_NAME_CHARS} characters.")]
    NameLength,
    #[error("a name has letters, digits, hyphens, underscores and periods, and at least one of them.")]
    NameCharacters,
    #[error(
        "a name neither begins nor ends with a period, has no two in a row, and does not begin with AWS. or Amazon."
    )]
    NameReserved,
    #[error("the data type has more than 256 characters.")]
    DataTypeLength,
    #[error("the value of type {0} must not be empty.")]
    Empty(&'static str),
    #[error("the value of type Number must be a number.")]
    NoNumber,
    #[error("its value is not of its data type.")]
    OtherType,
    #[error("the data type must be String, Number or Binary, with an optional label after a period.")]
    DataType,
}

/// The characters of XML 1.0 (SendMessage, `MessageBody`).
pub fn takes_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// The first character of a text that SQS does not take.
pub fn bad_character(text: &str) -> Option<char> {
    text.chars().find(|c| !takes_char(*c))
}

/// A body, or a text attribute's value.
pub fn check_characters(text: &str) -> Result<(), Refused> {
    bad_character(text).map_or(Ok(()), |c| Err(Refused::Character(c)))
}

/// One attribute of a message.
pub fn check_attribute(name: &str, data_type: &str, value: Value<'_>) -> Result<(), Refused> {
    check_attribute_name(name)?;
    if data_type.len() > MAX_ATTRIBUTE_NAME_CHARS {
        return Err(Refused::DataTypeLength);
    }
    match (data_type.split('.').next(), value) {
        (Some("String"), Value::Text("")) => Err(Refused::Empty("String")),
        (Some("String"), Value::Text(text)) => check_characters(text),
        (Some("Number"), Value::Text(text)) if is_number(text) => Ok(()),
        (Some("Number"), Value::Text(_)) => Err(Refused::NoNumber),
        (Some("Binary"), Value::Binary([])) => Err(Refused::Empty("Binary")),
        (Some("Binary"), Value::Binary(_)) => Ok(()),
        (Some("String" | "Number" | "Binary"), Value::Text(_) | Value::Binary(_)) => Err(Refused::OtherType),
        (_, Value::Text(_) | Value::Binary(_)) => Err(Refused::DataType),
    }
}

/// Whether it may be a group or deduplication id: 1 to 128 letters, digits and punctuation.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether it has 1 to 80 letters, digits, hyphens and underscores: what SQS wants of names.
pub fn is_plain_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_NAME_CHARS).contains(&text.len()) && text.bytes().all(allowed)
}

fn check_attribute_name(name: &str) -> Result<(), Refused> {
    if name.chars().count() > MAX_ATTRIBUTE_NAME_CHARS {
        return Err(Refused::NameLength);
    }
    if name.is_empty() || !name.chars().all(is_in_attribute_name) {
        return Err(Refused::NameCharacters);
    }
    let lower = name.to_ascii_lowercase();
    let is_reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    if is_reserved || name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err(Refused::NameReserved);
    }
    Ok(())
}

/// Whether an attribute's name may have this character. SQS also takes the letters of Latin-1 and
/// Latin Extended-A, which its guide does not say.
fn is_in_attribute_name(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '_' | '.')
        || (('\u{c0}'..='\u{17f}').contains(&c) && c.is_alphabetic())
}

/// Digits, with sign, point and exponent; `inf` and `NaN` are none.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_taken_and_refused_as_sqs_does() {
        let check = |name: &str, data_type: &str, value: Value<'_>, expect: Result<(), Refused>| {
            assert_eq!(check_attribute(name, data_type, value), expect, "{name} {data_type} {value:?}");
        };
        let text = Value::Text;
        check("ok.name-1_", "Number.int", text("-1.5e3"), Ok(()));
        check("a", "String", text("é\t\u{10ffff}"), Ok(()));
        check("a", "Binary.png", Value::Binary(&[0]), Ok(()));
        check("attr.1øßä", "String", text("x"), Ok(()));
        for name in [".a", "a.", "a..b", "aws.x", "Amazon.x"] {
            check(name, "String", text("x"), Err(Refused::NameReserved));
        }
        for name in ["", "a b", "§", "a×b", "名"] {
            check(name, "String", text("x"), Err(Refused::NameCharacters));
        }
        check(&"é".repeat(256), "String", text("x"), Ok(()));
        check(&"é".repeat(257), "String", text("x"), Err(Refused::NameLength));
        check("a", "String", text(""), Err(Refused::Empty("String")));
        check("a", "Binary", Value::Binary(&[]), Err(Refused::Empty("Binary")));
        check("a", "String", text("a\0"), Err(Refused::Character('\0')));
        for number in ["", "many", "inf", "NaN", "1e999", "0x1"] {
            check("a", "Number", text(number), Err(Refused::NoNumber));
        }
        check("a", "Binary", text("x"), Err(Refused::OtherType));
        check("a", "String", Value::Binary(b"x"), Err(Refused::OtherType));
        check("a", "Text", text("x"), Err(Refused::DataType));
        check("a", "", text("x"), Err(Refused::DataType));
        check("a", &format!("Number.{}", "L".repeat(250)), text("1"), Err(Refused::DataTypeLength));
    }

    #[test]
    fn plain_names_have_up_to_80_letters_digits_hyphens_and_underscores() {
        assert!(is_plain_name("a-Z_0") && is_plain_name(&"x".repeat(80)));
        assert!(!["", "a b", "a.b", "é", &"x".repeat(81)].into_iter().any(is_plain_name));
    }

    #[test]
    fn ids_have_up_to_128_letters_digits_and_punctuation() {
        assert!(is_id("a-Z_0.!~") && is_id(&"x".repeat(128)));
        assert!(!is_id("") && !is_id("a b") && !is_id("é") && !is_id(&"x".repeat(129)));
    }

    #[test]
    fn the_characters_are_those_of_xml() {
        for (c, taken) in [('\t', true), ('\u{1f}', false), (' ', true), ('\u{fffe}', false), ('\u{10000}', true)] {
            assert_eq!(check_characters(&c.to_string()).is_ok(), taken, "{c:?}");
        }
    }
}
