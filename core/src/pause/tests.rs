use super::*;

#[test]
fn a_target_is_what_it_says() {
    for text in ["type:order_completed", "queue:orders.fifo", "type:a:b", "type:\u{1f9fe}"] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
    for text in ["order", "types:a", "type:", "queue:", ""] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
    assert_eq!(format!("type:{}", "x".repeat(257)).parse::<Target>(), Err(PauseError::Name(257)));
}

#[test]
fn a_pause_passes_by_itself_and_cannot_end_before_it_begins() {
    let until = |ms| Pause::new("type:a".parse().unwrap(), "a\nda", UnixMs(1_000), ms);
    let pause = until(Some(UnixMs(3_000))).unwrap();
    assert_eq!((pause.by.as_str(), pause.is_over(UnixMs(2_999)), pause.is_over(UnixMs(3_000))), ("ada", false, true));
    assert_eq!(pause.remaining(UnixMs(1_500)), Some(Duration::from_millis(1_500)));
    assert!(!until(None).unwrap().is_over(UnixMs(u64::MAX)));
    assert_eq!(until(Some(UnixMs(1_000))), Err(PauseError::Past));
}
