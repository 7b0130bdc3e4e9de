use wasq_core::message::{Delivery, Receipt};

use super::*;
use crate::dlq::letter_view::Envelope;

#[test]
fn the_rate_is_kept() {
    for (per_s, batch) in [(1, 1), (7, 7), (50, 10), (1_000, 10)] {
        let began = wasq_core::clock::now();
        let mut pace = Pace::new(Some(per_s), began);
        assert_eq!(pace.batch(), batch);
        let (mut now, mut sent) = (began, Vec::new());
        while sent.len() < 10 * per_s as usize {
            now = now.max(pace.next());
            sent.extend(std::iter::repeat_n(now, pace.batch()));
            pace.went(pace.batch(), now);
        }
        for second in 0..9 {
            let from = began + Duration::from_secs(second);
            let within = sent.iter().filter(|at| (from..from + Duration::from_secs(1)).contains(at)).count();
            assert!(within <= per_s as usize + batch, "{within} in second {second} at {per_s}/s");
        }
        let took = (*sent.last().unwrap() - began).as_secs_f64();
        assert!((9.0..=10.0).contains(&took), "ten seconds' worth took {took} s at {per_s}/s");
    }
}

#[test]
fn a_pause_is_not_made_up_for() {
    let began = wasq_core::clock::now();
    let mut pace = Pace::new(Some(10), began);
    let later = began + Duration::from_secs(60);
    pace.went(10, later);
    assert_eq!(pace.next(), later + Duration::from_secs(1));
    let mut free = Pace::new(None, began);
    free.went(10, later);
    assert_eq!((free.next(), free.batch()), (began, 10));
}

fn moved(id: &str, sent_at: u64) -> LetterView {
    let delivery = Delivery {
        message_id: MessageId(id.into()),
        receipt: Receipt("r".into()),
        body: "".into(),
        attributes: Default::default(),
        receive_count: 1,
        sent_at: UnixMs(sent_at),
        enqueued_at: UnixMs(sent_at),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: wasq_core::clock::now(),
    };
    LetterView { delivery, envelope: Envelope::MovedBySqs }
}

#[test]
fn failures_are_counted_once_and_judged_when_there_are_enough() {
    let mut watch = FailureWatch::new(UnixMs(100), 0.2);
    for n in 0..9 {
        watch.sent(MessageId(n.to_string()));
    }
    watch.sent(MessageId("0".into()));
    assert_eq!(watch.replayed(), 9);
    assert!(!watch.is_new(&moved("old", 100)));
    assert!(watch.is_new(&moved("other", 101)));
    assert_eq!(watch.failed(), 0);
    for id in ["1", "1", "2", "3"] {
        assert!(watch.is_new(&moved(id, 50)), "known by its id although it is old");
    }
    assert_eq!(watch.failed(), 3);
    assert!(watch.canary_failed() && !watch.too_many(), "nine are too few to judge, but a canary's nine are not");
    watch.sent(MessageId("9".into()));
    assert!(watch.too_many());
    for n in 10..15 {
        watch.sent(MessageId(n.to_string()));
    }
    assert!(!watch.too_many(), "3 of 15 is the bound, and not over it");
    assert!(!watch.is_suspicious(4) && watch.is_suspicious(5), "four newcomers are known");
}
