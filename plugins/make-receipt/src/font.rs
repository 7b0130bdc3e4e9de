//! Helvetica as every PDF reader has it: how its text is encoded and how wide it is.

/// `text` in WinAnsiEncoding (ISO 32000-1, annex D.2), the encoding that covers the languages of
/// western Europe. What it does not have becomes `?`; control characters become spaces, so that a
/// line stays a line.
pub fn encode(text: &str) -> Vec<u8> {
    text.chars().map(|c| if c.is_control() { b' ' } else { win_ansi(c).unwrap_or(b'?') }).collect()
}

/// The width of encoded text in points, at `size` points. Exact for ASCII; the rest counts as a
/// digit's width, which is near enough to shorten a name by.
pub fn width(encoded: &[u8], size: f32) -> f32 {
    encoded.iter().map(|byte| f32::from(advance(*byte))).sum::<f32>() * size / 1000.0
}

/// `text` encoded, and cut with an ellipsis where it would be wider than `max_width` points.
pub fn encode_within(text: &str, size: f32, max_width: f32) -> Vec<u8> {
    let encoded = encode(text);
    if width(&encoded, size) <= max_width {
        return encoded;
    }
    let mut left = max_width - width(&[ELLIPSIS], size);
    let mut cut: Vec<u8> = encoded
        .into_iter()
        .take_while(|byte| {
            left -= width(&[*byte], size);
            left >= 0.0
        })
        .collect();
    cut.push(ELLIPSIS);
    cut
}

const ELLIPSIS: u8 = 0x85;

/// The characters at 0x80 to 0x9F, where WinAnsi and Latin-1 differ; `\0` where it has none.
const HIGH: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', //
    '\0', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

fn win_ansi(c: char) -> Option<u8> {
    match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        other => HIGH.iter().position(|high| *high == other).and_then(|at| u8::try_from(0x80 + at).ok()),
    }
}

/// Widths of the characters from the space to the tilde, in thousandths of the size: the font's
/// public metrics (Adobe's AFM of Helvetica). Digits, point and comma are as wide in
/// Helvetica-Bold, so amounts line up in both.
const ADVANCES: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, // space to /
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, // 0 to ?
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, // @ to O
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, // P to _
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, // ` to o
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584, // p to ~
];

fn advance(byte: u8) -> u16 {
    match byte {
        b' '..=b'~' => ADVANCES[usize::from(byte - b' ')],
        ELLIPSIS => 1000,
        _ => 556,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn western_names_keep_their_letters() {
        assert_eq!(encode("Zoë Müller"), b"Zo\xEB M\xFCller");
        assert_eq!(encode("9 € – “Œuvre”"), b"9 \x80 \x96 \x93\x8Cuvre\x94");
        assert_eq!(encode("猫\0\n"), b"?  ");
    }

    #[test]
    fn digits_share_one_width_and_long_text_is_cut() {
        assert_eq!(width(b"00.00", 10.0), width(b"98.76", 10.0));
        let cut = encode_within(&"W".repeat(100), 10.0, 100.0);
        assert!(cut.ends_with(&[ELLIPSIS]) && width(&cut, 10.0) <= 100.0 && cut.len() > 5, "{}", cut.len());
        assert_eq!(encode_within("mug", 10.0, 100.0), b"mug");
    }
}
