use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_date_is_read() {
    let check = |text, expect: Option<u64>| assert_eq!(read_date(text), expect.map(Duration::from_secs), "{text}");
    check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
    check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
    check("Wed, 31 Dec 1969 23:59:59 GMT", None);
    check("yesterday", None);
    check("", None);
}

/// A request takes 30 ms there, and its answer 50 ms back. Whenever in its second the server
/// answers, the true time lies within the bounds, and these are as wide as the second and the way.
#[test]
fn the_true_time_is_within_the_bounds() {
    let sent = clock::now();
    for true_ms in 100_000..101_000 {
        let date = Duration::from_secs(true_ms / 1000);
        let time = ServerTime::default();
        time.learn(Answer { date, sent, arrived: sent + ms(80) });
        for later in [80, 500, 100_000] {
            let bounds = time.at(sent + ms(later)).expect("there was an answer");
            let truth = UnixMs(true_ms + later - 30);
            assert!(bounds.earliest() <= truth && truth <= bounds.latest(), "{truth}: {bounds:?}");
            assert_eq!(bounds.latest().0 - bounds.earliest().0, 1080);
        }
    }
}

#[test]
fn the_newest_answer_counts() {
    let start = clock::now();
    let time = ServerTime::default();
    assert_eq!(time.at(start), None);
    let answer = |date_s, arrived| Answer { date: Duration::from_secs(date_s), sent: start, arrived };
    time.learn(answer(100, start + ms(20)));
    time.learn(answer(50, start + ms(10)));
    assert_eq!(time.at(start + ms(20)).expect("there was an answer").earliest(), UnixMs(100_000));
}
