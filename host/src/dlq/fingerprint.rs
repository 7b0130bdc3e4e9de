//! Reasons that are alike: what differs between them is taken out, and the rest is named by a hash.

/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 8;
/// From so many digits on a hexadecimal word is an id, and no word.
const HEX_MIN_DIGITS: usize = 8;
/// Where a UUID has its dashes, and its length.
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_CHARS: usize = 36;

/// Names a reason: the first 8 hexadecimal digits of blake3 over its [`normalised`] text. Reasons that differ in their
/// values only have the same name, on every machine and in every version that normalises alike.
pub fn fingerprint(reason: &str) -> String {
    let hash = blake3::hash(normalised(reason).as_bytes()).to_hex();
    hash[..DIGITS].to_owned()
}

/// A reason without its values. In the order in which they are looked for:
///
/// - text in `"…"`, `` `…` `` or `'…'` becomes `<text>`; the apostrophe of a word opens nothing
/// - a UUID becomes `<uuid>`
/// - a word of 8 hexadecimal digits or more, among them a digit and a letter, or any word after `0x`, becomes `<hex>`
/// - a number, with its fraction or its groups, becomes `<n>`; also within a word, as in `order<n>`
/// - white space becomes one space
pub fn normalised(reason: &str) -> String {
    let chars: Vec<char> = reason.chars().collect();
    let mut text = String::with_capacity(reason.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let word_starts = at == 0 || !chars[at - 1].is_alphanumeric();
        let value = quoted(&chars, at, word_starts).map(|end| ("<text>", end));
        let value = value.or_else(|| word_starts.then(|| id(&chars, at)).flatten());
        let value = value.or_else(|| c.is_ascii_digit().then(|| ("<n>", number(&chars, at))));
        match value {
            Some((name, end)) => {
                text.push_str(name);
                at = end;
            }
            None => {
                match c.is_whitespace() {
                    true if text.ends_with(' ') => {}
                    true => text.push(' '),
                    false => text.push(c),
                }
                at += 1;
            }
        }
    }
    text.trim().to_owned()
}

/// The end of a quotation that begins here.
fn quoted(chars: &[char], at: usize, word_starts: bool) -> Option<usize> {
    let quote = chars[at];
    let opens = matches!(quote, '"' | '`') || (quote == '\'' && word_starts);
    if !opens {
        return None;
    }
    let mut end = at + 1;
    while let Some(&c) = chars.get(end) {
        let within_a_word = quote == '\'' && chars.get(end + 1).is_some_and(|next| next.is_alphanumeric());
        if c == quote && !within_a_word {
            return Some(end + 1);
        }
        end += if c == '\\' { 2 } else { 1 };
    }
    None
}

/// A UUID or a hexadecimal word that begins here, and its end.
fn id(chars: &[char], at: usize) -> Option<(&'static str, usize)> {
    let ends_at = |end: usize| !chars.get(end).is_some_and(|c| c.is_alphanumeric());
    if let Some(uuid) = chars.get(at..at + UUID_CHARS) {
        let fits = |(place, c): (usize, &char)| match UUID_DASHES.contains(&place) {
            true => *c == '-',
            false => c.is_ascii_hexdigit(),
        };
        if uuid.iter().enumerate().all(fits) && ends_at(at + UUID_CHARS) {
            return Some(("<uuid>", at + UUID_CHARS));
        }
    }
    let prefixed = chars[at] == '0' && matches!(chars.get(at + 1), Some('x' | 'X'));
    let start = if prefixed { at + 2 } else { at };
    let word: Vec<char> = chars[start..].iter().copied().take_while(char::is_ascii_hexdigit).collect();
    let end = start + word.len();
    let mixed = word.iter().any(char::is_ascii_digit) && word.iter().any(char::is_ascii_alphabetic);
    let is_id = if prefixed { !word.is_empty() } else { word.len() >= HEX_MIN_DIGITS && mixed };
    (is_id && ends_at(end)).then_some(("<hex>", end))
}

/// The end of a number that begins here: `12`, `1.5`, `12,345`, `10.0.0.7`.
fn number(chars: &[char], at: usize) -> usize {
    let digit = |place: usize| chars.get(place).is_some_and(char::is_ascii_digit);
    let mut end = at;
    while digit(end) || (matches!(chars.get(end), Some('.' | ',')) && digit(end + 1)) {
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_of_a_reason_and_words_stay() {
        let check = |reason: &str, expect: &str| assert_eq!(normalised(reason), expect, "{reason}");
        check("order 17 was not found", "order <n> was not found");
        check("order17: 3 of 12.5 kg, 1,024 left", "order<n>: <n> of <n> kg, <n> left");
        check("10.0.0.7:8080 refused", "<n>:<n> refused");
        check("no user 6f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f here", "no user <uuid> here");
        check("commit 9fceb02d0ae5 and 0xFF and 0x", "commit <hex> and <hex> and <n>x");
        check("facade, deadbeef and 12345678", "facade, deadbeef and <n>");
        check(r#"no field "total" in 'order' of `shop`"#, "no field <text> in <text> of <text>");
        check(r#"said "a \"b\" c" and stopped"#, "said <text> and stopped");
        check("can't read the customer's card", "can't read the customer's card");
        check("it said 'don't' 3 times", "it said <text> <n> times");
        check("an open \" quote 5", "an open \" quote <n>");
        check("  much\t\n white   space ", "much white space");
        check("", "");
        check("Zahl 5 für Größe 12", "Zahl <n> für Größe <n>");
    }

    #[test]
    fn reasons_that_differ_in_values_only_have_one_fingerprint() {
        let one = fingerprint("timeout after 10 s at 'https://a.example/1'");
        assert_eq!(one, fingerprint("timeout after 30 s at 'https://b.example/2'"));
        assert_ne!(one, fingerprint("timeout before 10 s at 'https://a.example/1'"));
        assert!(one.len() == 8 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        // The same for all time: operators write it down.
        assert_eq!(fingerprint("order 17 was not found"), blake3::hash(b"order <n> was not found").to_hex()[..8]);
    }
}
