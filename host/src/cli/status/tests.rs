use super::*;

#[test]
fn it_fits_its_terminal_and_says_what_is_paused_what_has_no_plugin_and_what_failed() {
    let status = serde_json::json!({
        "ready": { "ok": true, "reasons": [] },
        "paused": [{ "target": "type:order_completed", "by": "ada@laptop", "at": 0, "until": 60_000 }],
        "queues": [{ "name": "orders", "visible": 12_345, "in_flight": 64, "delayed": 0, "in_hand": 64, "dead_letters": 7, "lag_s": 1.25 }],
        "lines": [{ "type": "order_completed_and_some_more", "plugin": "send-receipt-by-mail", "exits": { "done": 123_456 }, "delayed": 4,
            "duplicates": 0, "dead_lettered": 7, "run_p50_ms": 12.5, "run_p99_ms": 250.0 }],
        "permits": [{ "name": "host", "busy": 3, "limit": 512 }, { "name": "pool:smtp", "busy": 0, "limit": 4 }],
        "breakers": [{ "plugin": "mail", "dependency": "api.mail.example", "open": true, "probe_in_ms": 700 }],
        "unroutable": [{ "queue": "orders", "type": "order_completd", "deliveries": 3, "first_at": 0, "last_at": 1_000,
            "reason": "no plugin handles it; its messages go to the DLQ 5m after they were sent" }],
        "failures": [{ "at": 1_000, "type": "t", "plugin": "p", "plugins": ["p", "q"], "class": "retry", "reason": "a long reason ".repeat(20) }],
    });
    let wide = page(&status, UnixMs(6_000), 80);
    for words in [
        "ready",
        "paused: type:order_completed, by ada@laptop, until 1970-01-01 00:01:00 UTC",
        "permits busy: host 3 of 512\n",
        "breaker open: api.mail.example for mail, next probe in 700 ms",
        "1.2 s",
        "5s ago",
        "order_completd",
        "no plugin handles it; its messages go to the DLQ 5m",
        "p, q",
    ] {
        assert!(wide.contains(words), "{words}: {wide}");
    }
    let names = ["order_completed_and_some_more", "send-receipt-by-mail", "api.mail.example", "pool:smtp"];
    for width in [80, 60, 40] {
        let page = page(&status, UnixMs(6_000), width);
        let widest = page.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} of {width}:\n{page}");
        for word in page.split([' ', '\n', ',']).filter(|word| word.contains('_') || word.contains('-')) {
            let start = word.trim_end_matches('…');
            let is_cut = start != word && names.iter().any(|name| name.starts_with(start));
            assert!(is_cut || wide.contains(word) || names.contains(&word), "{word} at {width}:\n{page}");
        }
    }
}
