//! The tokens of a reason outside of quotations: which of them are values, and what stands for
//! them.
//!
//! Kept are words, the names of types and algorithms with their digits (`u64`, `sha256`), error
//! classes (`S3UploadFailedError`), codes where something says that they are one (`HTTP 503`, `os
//! error 111`, `SQLSTATE 23505`), hosts and ports. Values are numbers with their units, times,
//! UUIDs, hexadecimal words, other ids, IP addresses, e-mail addresses, and a URL's query.

use super::words::{
    BEFORE_CODES, BEFORE_STATUSES, CODE_PREFIXES, DAYS, ERROR_CLASSES, FILES, MONTHS, NUMBERED, STATUS_PHRASES, UNITS,
};

/// From so many digits on a hexadecimal word is an id, and no word.
const HEX_MIN_DIGITS: usize = 7;
/// From so many characters on a word in which letters follow digits is an id.
const ID_MIN_CHARS: usize = 8;
/// Ports from here on are the system's to give: they say nothing.
const EPHEMERAL_PORTS: u32 = 32_768;
/// Where a UUID has its dashes, and its length.
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_CHARS: usize = 36;

/// What some text begins with.
pub struct Token {
    /// What stands for it; none where it stands for itself.
    pub word: Option<String>,
    pub len: usize,
}

impl Token {
    fn value(word: &str, len: usize) -> Option<Self> {
        Some(Self { word: Some(word.to_owned()), len })
    }

    fn kept(len: usize) -> Option<Self> {
        Some(Self { word: None, len })
    }
}

/// The token that `rest` begins with, after `before`. `rest` is not empty. `normalise` is for the
/// path of a URL.
pub fn at(before: &str, rest: &str, normalise: fn(&str) -> String) -> Token {
    let c = rest.chars().next().unwrap_or_default();
    let previous = before.chars().next_back();
    let starts = !previous.is_some_and(char::is_alphanumeric);
    let begins = starts && !previous.is_some_and(|c| matches!(c, '_' | '-' | '.' | '@' | '/'));
    let view = begins
        .then(|| {
            url(rest, normalise)
                .or_else(|| email(rest))
                .or_else(|| address(rest))
                .or_else(|| time(rest))
                .or_else(|| host(rest))
        })
        .flatten()
        .or_else(|| starts.then(|| uuid(rest).or_else(|| code(before, rest)).or_else(|| word(rest))).flatten())
        .or_else(|| number(previous, rest));
    view.unwrap_or(Token { word: None, len: c.len_utf8() })
}

/// Text that looks like an identifier, with indices and longer numbers taken out; none where it
/// looks like something else.
pub fn name(text: &str, chars_max: usize) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || "_-.:/[]$@<>&*()#".contains(c);
    let starts = text.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '$' | '@' | '/' | '['));
    if !starts || !text.chars().all(is_part) || text.chars().count() > chars_max || text.contains("://") {
        return None;
    }
    let (mut name, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let run = alphanumeric(rest);
        if run.is_empty() {
            name.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if uuid(rest).is_some() || is_hex(run) || (is_id(run) && !is_error_class(run)) {
            return None;
        }
        // `address2` and `line_2` are names, `items[2]` and `items.2` have an index.
        let digits = run.len() - run.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let is_index = digits == run.len() && !name.ends_with('_');
        match digits > 0 && !is_numbered(run) && (is_index || digits > 2) {
            true => name.extend([&run[..run.len() - digits], "<n>"]),
            false => name.push_str(run),
        }
        rest = &rest[run.len()..];
    }
    Some(name)
}

/// Whether all of a text is a URL.
pub fn is_url(text: &str) -> bool {
    scheme(text).is_some() && !text.contains(char::is_whitespace)
}

fn alphanumeric(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

fn digits(text: &str) -> usize {
    text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()
}

fn ends_word(after: &str) -> bool {
    !after.starts_with(char::is_alphanumeric)
}

/// The length of `scheme://`.
fn scheme(rest: &str) -> Option<usize> {
    let end = rest.find("://")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (end > 0 && rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest[..end].chars().all(fits)).then_some(end + 3)
}

/// A URL keeps its scheme, host and port; what is in its path is looked at like other text, its
/// query is a value.
fn url(rest: &str, normalise: fn(&str) -> String) -> Option<Token> {
    let scheme = scheme(rest)?;
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')' | ']' | '}' | ',' | ';');
    let end = rest.find(ends).unwrap_or(rest.len());
    let whole = rest[..end].trim_end_matches(['.', ':', '!', '?']);
    let authority_end = whole[scheme..].find(['/', '?', '#']).map_or(whole.len(), |at| scheme + at);
    let authority = &whole[scheme..authority_end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path_end = whole.find(['?', '#']).unwrap_or(whole.len());
    let path = normalise(&whole[authority_end..path_end]);
    let query = if path_end < whole.len() { "?<text>" } else { "" };
    Some(Token { word: Some(format!("{}{host}{path}{query}", &whole[..scheme])), len: whole.len() })
}

fn email(rest: &str) -> Option<Token> {
    let local = rest.find(|c: char| !(c.is_alphanumeric() || "._%+-".contains(c)))?;
    let domain = rest[local..].strip_prefix('@')?;
    let end = domain.find(|c: char| !(c.is_alphanumeric() || ".-".contains(c))).unwrap_or(domain.len());
    let domain = domain[..end].trim_end_matches('.');
    (local > 0 && domain.contains('.')).then(|| Token::value("<email>", local + 1 + domain.len())).flatten()
}

/// An IP address is a value: behind one name there are many. Its port says which service it was.
fn address(rest: &str) -> Option<Token> {
    let fits = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let (text, len) = match rest.strip_prefix('[') {
        Some(inside) => (&inside[..inside.find(']')?], inside.find(']')? + 2),
        None => {
            let run = &rest[..rest.find(|c| !fits(c)).unwrap_or(rest.len())];
            let v4 = run.split(':').next().unwrap_or_default().trim_end_matches('.');
            let text = if v4.contains('.') { v4 } else { run.trim_end_matches(':') };
            (text, text.len())
        }
    };
    text.parse::<std::net::IpAddr>().ok().filter(|_| ends_word(&rest[len..]))?;
    Some(with_port("<ip>", rest, len))
}

/// A host, with its port: labels with dots between, the last of them a word. One dot alone may be a
/// member's; a port or a second dot makes it a host.
fn host(rest: &str) -> Option<Token> {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(rest.len());
    let text = rest[..end].trim_end_matches(['.', '-']);
    let mut labels = text.rsplit('.');
    let last = labels.next().filter(|last| last.len() >= 2 && last.chars().all(|c| c.is_ascii_alphabetic()))?;
    let others = labels.clone().count();
    let is_name = |label: &str| !label.is_empty() && digits(label) < label.len() && !is_id(label) && !is_hex(label);
    let has_port = rest[text.len()..].strip_prefix(':').is_some_and(|after| digits(after) > 0);
    let is_host = (others >= 2 || (others == 1 && has_port)) && !FILES.contains(&last) && labels.all(is_name);
    let is_localhost = text == "localhost" && has_port;
    (is_host || is_localhost).then(|| with_port(text, rest, text.len()))
}

fn with_port(word: &str, rest: &str, len: usize) -> Token {
    let port = rest[len..].strip_prefix(':').map(|after| &after[..digits(after)]).filter(|port| !port.is_empty());
    let Some(port) = port else { return Token { word: Some(word.to_owned()), len } };
    let shown = if port.parse::<u32>().is_ok_and(|port| port < EPHEMERAL_PORTS) { port } else { "<n>" };
    Token { word: Some(format!("{word}:{shown}")), len: len + 1 + port.len() }
}

/// `2026-11-28T13:50:47.123Z`, `2026-11-28`, `13:50:47`, `Sat, 28 Nov 2026 13:50:47 GMT`, `Nov 28
/// 13:50:47`.
fn time(rest: &str) -> Option<Token> {
    let len = date(rest).map_or_else(
        || clock(rest),
        |date| {
            let after = rest[date..].strip_prefix(['T', 't', ' ']).and_then(clock);
            Some(date + after.map_or(0, |clock| 1 + clock))
        },
    );
    len.filter(|len| ends_word(&rest[*len..])).and_then(|len| Token::value("<time>", len))
}

fn date(rest: &str) -> Option<usize> {
    let shape = |text: &str| text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b }).collect::<Vec<_>>();
    let first = rest.get(..10)?;
    if matches!(shape(first).as_slice(), b"0000-00-00" | b"0000/00/00" | b"00/00/0000" | b"00.00.0000") {
        return Some(10);
    }
    // The parts of a date in words, each followed by a space.
    let mut len = 0;
    let (mut has_month, mut has_day) = (false, false);
    loop {
        let word = &rest[len..][..rest[len..].find(' ').unwrap_or(rest.len() - len)];
        let bare = word.trim_end_matches(',');
        let is_month = MONTHS.contains(&bare);
        let is_day = (1..=2).contains(&digits(bare)) && digits(bare) == bare.len();
        let is_year = digits(bare) == 4 && bare.len() == 4 && has_month && has_day;
        if !(is_month || DAYS.contains(&bare) || (is_day && !has_day) || is_year) {
            break;
        }
        (has_month, has_day) = (has_month || is_month, has_day || is_day);
        let next = len + word.len();
        if !rest[next..].starts_with(' ') {
            return (has_month && has_day).then_some(next);
        }
        len = next + 1;
    }
    (has_month && has_day).then(|| len - 1)
}

fn clock(rest: &str) -> Option<usize> {
    let two = |at: usize| rest.get(at..at + 2).is_some_and(|two| digits(two) == 2);
    let colon = |at: usize| rest.get(at..=at) == Some(":");
    if !(two(0) && colon(2) && two(3)) {
        return None;
    }
    let mut len = 5;
    if colon(5) && two(6) {
        len = 8;
        if rest[len..].starts_with(['.', ',']) && digits(&rest[len + 1..]) > 0 {
            len += 1 + digits(&rest[len + 1..]);
        }
    }
    let zone = &rest[len..];
    let named = ["Z", " UTC", " GMT", " Z"].iter().find(|name| zone.starts_with(**name)).map_or(0, |name| name.len());
    let is_offset =
        zone.starts_with(['+', '-']) && (digits(&zone[1..]) == 4 || (digits(&zone[1..]) == 2 && zone.len() >= 3));
    let offset = if is_offset {
        zone[1..].find(|c: char| !(c.is_ascii_digit() || c == ':')).map_or(zone.len(), |at| at + 1)
    } else {
        0
    };
    Some(len + named.max(offset))
}

fn uuid(rest: &str) -> Option<Token> {
    let text = rest.get(..UUID_CHARS)?;
    let fits = |(at, c): (usize, char)| if UUID_DASHES.contains(&at) { c == '-' } else { c.is_ascii_hexdigit() };
    (text.char_indices().all(fits) && ends_word(&rest[UUID_CHARS..]))
        .then(|| Token::value("<uuid>", UUID_CHARS))
        .flatten()
}

/// A number, or a short word of digits and capitals, that something says is a code.
fn code(before: &str, rest: &str) -> Option<Token> {
    let run = alphanumeric(rest);
    let is_short = (1..=5).contains(&run.len()) && run.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    let has_digit = run.bytes().any(|b| b.is_ascii_digit());
    let after = &rest[run.len()..];
    let is_decimal = after.strip_prefix(['.', ',']).is_some_and(|after| digits(after) > 0);
    let word = word_before(before);
    let is_status = run.len() == 3 && digits(run) == 3 && run.starts_with(['1', '2', '3', '4', '5']);
    let phrase = after.strip_prefix([' ', ':']).map(|after| alphanumeric(after.trim_start()));
    let is_last = after.is_empty() || after.starts_with([':', ',', ';', ')', '.', '(']) || after.starts_with(" for ");
    let said = is_short && has_digit && BEFORE_CODES.contains(&word.as_str())
        || is_status && phrase.is_some_and(|phrase| STATUS_PHRASES.contains(&phrase))
        || is_status && is_last && BEFORE_STATUSES.contains(&word.as_str())
        || is_short_class(run);
    if said && !is_decimal {
        return Token::kept(run.len());
    }
    // `ORA-00942`, `E11000`.
    let prefix = CODE_PREFIXES.iter().find(|prefix| rest.starts_with(**prefix))?;
    let number = digits(&rest[prefix.len()..]);
    let len = prefix.len() + number;
    ((4..=5).contains(&number) && ends_word(&rest[len..])).then(|| Token::kept(len)).flatten()
}

/// `5xx`.
fn is_short_class(run: &str) -> bool {
    run.strip_suffix("xx").is_some_and(|class| class.len() == 1 && digits(class) == 1)
}

/// The word before, in lower case.
fn word_before(before: &str) -> String {
    let before = before.trim_end_matches([' ', ':', '=', '(', '[', '#', '"', '\'']);
    let word: String = before.chars().rev().take_while(|c| c.is_alphanumeric()).collect();
    word.chars().rev().flat_map(char::to_lowercase).collect()
}

/// A word that is kept or dropped as a whole.
fn word(rest: &str) -> Option<Token> {
    let prefixed = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"));
    if let Some(hex) =
        prefixed.map(alphanumeric).filter(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Token::value("<hex>", 2 + hex.len());
    }
    let run = alphanumeric(rest);
    if run.is_empty() || digits(run) == run.len() {
        return None;
    }
    if is_hex(run) {
        return Token::value("<hex>", run.len());
    }
    if is_error_class(run) || is_numbered(run) {
        return Token::kept(run.len());
    }
    if is_id(run) {
        return Token::value("<id>", run.len());
    }
    None
}

fn is_hex(run: &str) -> bool {
    let has = |of: fn(&u8) -> bool| run.bytes().any(|b| of(&b));
    run.len() >= HEX_MIN_DIGITS
        && run.bytes().all(|b| b.is_ascii_hexdigit())
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
}

/// Letters and digits with no order that a word would have: letters after digits, several times or
/// in a long word.
fn is_id(run: &str) -> bool {
    let kinds: Vec<bool> = run.bytes().map(|b| b.is_ascii_digit()).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let number_is_first = kinds.first() == Some(&true);
    // `10seconds` is a number with its unit.
    let is_mixed = changes >= 2 || (changes == 1 && number_is_first && run.bytes().any(|b| b.is_ascii_uppercase()));
    (run.len() >= ID_MIN_CHARS && is_mixed) || (run.len() >= 6 && changes >= 3)
}

/// `u64`, `SHA256`, `wasm32`.
fn is_numbered(run: &str) -> bool {
    let stem = run.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = run.len() - stem.len();
    (1..=3).contains(&digits) && NUMBERED.iter().any(|name| name.eq_ignore_ascii_case(stem))
}

fn is_error_class(run: &str) -> bool {
    ERROR_CLASSES.iter().any(|end| run.len() > end.len() && run.ends_with(end))
        && run.starts_with(|c: char| c.is_alphabetic())
}

/// A number that begins here, with its sign, its currency, its groups, its fraction and its unit.
fn number(previous: Option<char>, rest: &str) -> Option<Token> {
    let signed = rest.strip_prefix(['-', '+']).filter(|_| !previous.is_some_and(|c| c.is_alphanumeric() || c == '>'));
    let unsigned = signed.unwrap_or(rest);
    let bare = unsigned.strip_prefix(['$', '€', '£', '¥']).unwrap_or(unsigned);
    let mut len = rest.len() - bare.len();
    let mut view = false;
    loop {
        let whole = plain_number(&rest[len..]);
        if whole == 0 {
            break;
        }
        (view, len) = (true, len + whole);
        let spaced = rest[len..].strip_prefix(' ').unwrap_or(&rest[len..]);
        let space = rest.len() - len - spaced.len();
        let fits = |unit: &&&str| {
            let after = spaced.strip_prefix(**unit);
            // `1m30s` goes on.
            after.is_some_and(|after| ends_word(after) || (space == 0 && digits(after) > 0))
        };
        let Some(unit) = UNITS.iter().find(fits) else { break };
        len += space + unit.len();
    }
    view.then(|| Token::value("<n>", len)).flatten()
}

/// The length of `12`, `1.5`, `12,345`, `1.5e-3`.
fn plain_number(rest: &str) -> usize {
    let mut len = digits(rest);
    while len > 0 && rest[len..].starts_with(['.', ',']) && digits(&rest[len + 1..]) > 0 {
        len += 1 + digits(&rest[len + 1..]);
    }
    if len > 0 && rest[len..].starts_with(['e', 'E']) {
        let exponent = rest[len + 1..].trim_start_matches(['+', '-']);
        let sign = rest[len + 1..].len() - exponent.len();
        if sign <= 1 && digits(exponent) > 0 && ends_word(&exponent[digits(exponent)..]) {
            len += 1 + sign + digits(exponent);
        }
    }
    len
}
