//! Numbers and times as people read them.

use std::time::Duration;

use wasq_core::message::UnixMs;

/// Deeper than this nothing is set in further: what is nested a thousand deep should not become a
/// million spaces.
const INDENTS_MAX: usize = 20;

/// `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with as many decimals as it needs: `0.25`, `3.1`, `1,234`.
pub fn number(value: f64) -> String {
    match value.abs() {
        abs if abs >= 100.0 || value == value.trunc() => count(value.round().max(0.0) as u64),
        abs if abs >= 10.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

/// `–` where it is not known.
pub fn known(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), number)
}

/// Milliseconds: `0.4 ms`, `12 ms`, `1.5 s`, `3 min`.
pub fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 1_000.0 => format!("{} ms", number(round(ms))),
        ms => span(Duration::from_secs_f64(ms / 1_000.0)),
    }
}

/// `0 s`, `1.5 s`, `42 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
pub fn span(span: Duration) -> String {
    let s = span.as_secs();
    let two = |a: u64, unit_a: &str, b: u64, unit_b: &str| match b {
        0 => format!("{a} {unit_a}"),
        b => format!("{a} {unit_a} {b} {unit_b}"),
    };
    match s {
        0..10 => format!("{} s", number((span.as_secs_f64() * 10.0).round() / 10.0)),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => two(s / 3_600, "h", s % 3_600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3_600, "h"),
    }
}

/// How long before `now`.
pub fn ago(at: UnixMs, now: UnixMs) -> String {
    match now.0.saturating_sub(at.0) {
        0..5_000 => "just now".into(),
        ms => format!("{} ago", span(Duration::from_secs(ms / 1_000))),
    }
}

/// `64 MiB`, `1.2 MiB`, `300 KiB`.
pub fn bytes(bytes: f64) -> String {
    let (value, unit) = match bytes {
        b if b >= 1_073_741_824.0 => (b / 1_073_741_824.0, "GiB"),
        b if b >= 1_048_576.0 => (b / 1_048_576.0, "MiB"),
        b if b >= 1_024.0 => (b / 1_024.0, "KiB"),
        b => (b, "B"),
    };
    format!("{} {unit}", number(round(value)))
}

/// `2026-11-27 16:20:03`, in UTC.
pub fn time(at: UnixMs) -> String {
    strftime(at, "%F %T")
}

/// `16:20:03`, in UTC.
pub fn clock(at: UnixMs) -> String {
    strftime(at, "%T")
}

/// At most so many characters.
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// JSON over several lines, with all that it says as it says it: the order of keys, the digits of
/// numbers.
pub fn spread(json: &str) -> String {
    let (mut text, mut depth, mut chars) = (String::with_capacity(json.len() * 2), 0_usize, json.chars().peekable());
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth.min(INDENTS_MAX)));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                text.push(c);
                while let Some(c) = chars.next() {
                    text.push(c);
                    match c {
                        '\\' => text.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                text.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => text.push(c),
        }
    }
    text
}

fn strftime(at: UnixMs, format: &str) -> String {
    let time = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "?".into(), |time| time.strftime(format).to_string())
}

/// To two or three digits.
fn round(value: f64) -> f64 {
    if value >= 10.0 { value.round() } else { (value * 10.0).round() / 10.0 }
}

#[cfg(test)]
mod tests;
