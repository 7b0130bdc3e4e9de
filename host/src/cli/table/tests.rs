use super::*;

const LONG: &str = "order_completed_and_paid_and_shipped_and_delivered";

/// Every kind of column, with names longer than a terminal of 60 columns has room for.
fn table() -> Table {
    let mut table = Table::new([
        whole("id"),
        name("type"),
        name("plugin"),
        number("dead letters"),
        number("attempts"),
        list("plugins"),
        text("reason"),
    ]);
    let cells = [
        "4f0c2a91",
        LONG,
        "send-receipt-by-mail-and-by-sms",
        "1234567",
        "3",
        "make-receipt, send-receipt, notify-partner",
        "api.mail.example answered 503: the service is not available at the moment, try again",
    ];
    table.add(cells.map(str::to_owned));
    table.add(["5", "t", "p", "0", "1", "-", "no"].map(str::to_owned));
    table.note("6 × another reason of the same cause that is too long for a terminal of eighty columns by far");
    table
}

#[test]
fn no_table_is_wider_than_its_terminal_and_no_word_is_broken() {
    let whole = table().render(usize::MAX);
    let words: Vec<&str> = whole.split([' ', '\n', ',', ':']).filter(|word| !word.is_empty()).collect();
    for width in [120, 80, 60, 40, 20] {
        let shown = table().render(width);
        let widest = shown.lines().map(UnicodeWidthStr::width).max().unwrap();
        assert!(widest <= width, "{widest} of {width}:\n{shown}");
        for word in shown.split([' ', '\n', ',', ':']).filter(|word| !word.is_empty()) {
            let is_whole = words.contains(&word);
            let is_cut =
                word.strip_suffix(ELLIPSIS).is_some_and(|start| words.iter().any(|word| word.starts_with(start)));
            assert!(is_whole || is_cut, "{word:?} at {width} in\n{shown}");
        }
    }
}

#[test]
fn what_finds_no_room_stands_below_its_row() {
    let shown = table().render(60);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("    plugins: make-receipt, send-receipt,")), "{shown}");
    assert!(
        lines.iter().any(|line| line.starts_with("    reason: api.mail.example answered 503") && line.ends_with('…')),
        "{shown}"
    );
    assert!(lines.iter().any(|line| line.starts_with("    6 × another reason")), "{shown}");
    assert!(!shown.contains("plugins: -"), "what is not there needs no line:\n{shown}");
}

#[test]
fn what_fits_is_in_columns_with_its_numbers_to_the_right() {
    let mut table = Table::new([name("queue"), number("visible"), text("what")]);
    table.add(["jobs", "7", "größer"].map(str::to_owned));
    table.add(["mails", "12345", "a\nb\u{1b}[31m"].map(str::to_owned));
    let expect = "queue  visible  what\njobs         7  größer\nmails    12345  a b·[31m";
    assert_eq!(table.render(80), expect);
    assert_eq!(wrapped("a sentence of words", 10), ["a sentence", "of words"]);
    assert_eq!([cut("größer", 4), cut("größer", 6), cut("日本語", 4), cut("a", 0)], ["grö…", "größer", "日…", ""]);
}
