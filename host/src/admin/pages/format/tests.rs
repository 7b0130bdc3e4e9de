use super::*;

#[test]
fn json_is_spread_and_stays_what_it_was() {
    let check = |json: &str, expect: &str| assert_eq!(spread(json), expect, "{json}");
    check(r#"{"z":1.50,"a":[ ],"s":"a,{\"b\\"}"#, "{\n  \"z\": 1.50,\n  \"a\": [],\n  \"s\": \"a,{\\\"b\\\\\"\n}");
    check(" [1 , [2]] ", "[\n  1,\n  [\n    2\n  ]\n]");
    check("\"x y\"", "\"x y\"");
    assert!(spread(&("[".repeat(5_000) + &"]".repeat(5_000))).len() < 500_000);
}

#[test]
fn numbers_are_told_as_people_read_them() {
    assert_eq!([0, 12, 999, 1_000, 1_234_567].map(count), ["0", "12", "999", "1,000", "1,234,567"]);
    assert_eq!([0.0, 0.25, 3.1, 12.0, 12.34, 1234.5].map(number), ["0", "0.25", "3.1", "12", "12.3", "1,235"]);
    assert_eq!(
        [0.04, 0.44, 9.96, 12.4, 1_500.0, 61_000.0].map(ms),
        ["0 ms", "0.4 ms", "10 ms", "12 ms", "1.5 s", "1 min"]
    );
    assert_eq!(
        [0, 9, 59, 60, 3_600, 7_500, 90_000].map(|s| span(Duration::from_secs(s))),
        ["0 s", "9 s", "59 s", "1 min", "1 h", "2 h 5 min", "1 d 1 h"]
    );
    assert_eq!([10.0, 2048.0, 1_258_291.2, 67_108_864.0].map(bytes), ["10 B", "2 KiB", "1.2 MiB", "64 MiB"]);
    assert_eq!(
        (ago(UnixMs(1_000), UnixMs(2_000)), ago(UnixMs(0), UnixMs(65_000))),
        ("just now".into(), "1 min ago".into())
    );
    assert_eq!((time(UnixMs(0)), cut("größer", 3)), ("1970-01-01 00:00:00".into(), "grö…".into()));
}
