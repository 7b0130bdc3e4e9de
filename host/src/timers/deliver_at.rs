//! The attribute by which a producer says when its message is to be delivered.

use jiff::Timestamp;
use wasq_core::message::{AttributeValue, Attributes, UnixMs};

/// Not before this time: as RFC 3339 has it, or in seconds since 1970-01-01T00:00:00Z.
pub const DELIVER_AT_ATTRIBUTE: &str = "wasq-deliver-at";

/// When the message of these attributes is to be delivered; none where they do not say.
///
/// # Errors
/// What the attribute says is no time, in words fit for a dead letter.
pub fn deliver_at(attributes: &Attributes) -> Result<Option<UnixMs>, String> {
    let Some(value) = attributes.get(DELIVER_AT_ATTRIBUTE) else { return Ok(None) };
    let at = value.text().and_then(read);
    at.map(Some).ok_or_else(|| {
        format!(
            "the attribute `{DELIVER_AT_ATTRIBUTE}` is no time; write it as RFC 3339 has it, such as 2027-01-31T08:00:00Z, \
             or in seconds since 1970-01-01T00:00:00Z"
        )
    })
}

/// The attribute's value for a moment.
pub fn value_of(at: UnixMs) -> Option<AttributeValue> {
    let time = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    Some(AttributeValue::string(time.to_string()))
}

fn read(text: &str) -> Option<UnixMs> {
    let text = text.trim();
    let ms = match text.parse::<Timestamp>() {
        Ok(time) => time.as_millisecond(),
        Err(_) => {
            let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_digits(seconds) || !is_digits(fraction) {
                return None;
            }
            let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
            seconds.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(thousandths.parse().ok()?)?
        }
    };
    // What was before 1970 has passed.
    Some(UnixMs(u64::try_from(ms).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: AttributeValue) -> Result<Option<UnixMs>, String> {
        deliver_at(&[(DELIVER_AT_ATTRIBUTE.to_owned(), value)].into())
    }

    #[test]
    fn a_time_is_a_date_or_seconds() {
        let check =
            |text: &str, expect| assert_eq!(of(AttributeValue::string(text)), Ok(Some(UnixMs(expect))), "{text}");
        check("2027-01-31T08:00:00Z", 1_801_382_400_000);
        check("2027-01-31T09:00:00.25+01:00", 1_801_382_400_250);
        check(" 1801382400 ", 1_801_382_400_000);
        check("1801382400.5", 1_801_382_400_500);
        check("1801382400.1239", 1_801_382_400_123);
        check("0", 0);
        check("1900-01-01T00:00:00Z", 0);
        assert_eq!(deliver_at(&Attributes::new()), Ok(None));
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        let binary = AttributeValue {
            data_type: "Binary".into(),
            value: wasq_core::message::AttributeData::Binary(b"0".as_slice().into()),
        };
        let texts = ["", "tomorrow", "-5", "1e9", "1.", ".5", "1801382400s", "2027-01-31", "99999999999999999999"];
        for value in texts.into_iter().map(AttributeValue::string).chain([binary]) {
            let refused = of(value.clone()).expect_err("it is no time");
            assert!(refused.contains("wasq-deliver-at"), "{value:?}: {refused}");
        }
    }

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        for ms in [0, 1, 1_801_382_400_250, 32_503_680_000_000] {
            assert_eq!(of(value_of(UnixMs(ms)).expect("it is a time")), Ok(Some(UnixMs(ms))));
        }
        assert_eq!(value_of(UnixMs(u64::MAX)), None);
    }
}
