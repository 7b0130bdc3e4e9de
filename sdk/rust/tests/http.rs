//! Requests as they are sent, and what `?` makes of what goes wrong.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use wasq_sdk::http::{MAX_RESPONSE_BYTES, Response};
use wasq_sdk::test::Reply;
use wasq_sdk::{Context, Failure};

const URL: &str = "https://Pay.example:8443/charges?token=secret";

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Charge {
    id: String,
}

fn charge(cx: &Context) -> Result<Charge, Failure> {
    Ok(cx.http().post(URL).json(&json!({"cents": 1299})).send()?.error_for_status()?.json()?)
}

#[test]
fn a_request_is_sent_as_it_was_built() {
    let reply = Reply::status(201).header("X-Id", "7").body("made");
    let cx = Context::test().key("k1").reply("PATCH", "http://a.example", reply).build();

    let request = cx.http().method("PATCH", "http://a.example").header("X-A", "1").header("X-B", [0xff]);
    let response = request.idempotency_key().body("text").send().unwrap();

    assert_eq!((response.status(), response.header("x-id"), response.text().unwrap()), (201, Some("7"), "made"));
    let request = &cx.recorded().requests()[0];
    assert_eq!((&*request.method, &*request.url, &*request.body), ("PATCH", "http://a.example/", &b"text"[..]));
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_owned());
    let expect = [header("X-A", b"1"), header("X-B", &[0xff]), header("Idempotency-Key", b"k1")];
    assert_eq!(request.headers, expect);
}

#[test]
fn each_effect_has_a_key_of_its_own() {
    let cx = Context::test().key("k1").reply_with("PUT", URL, |_| Reply::status(204)).build();
    for effect in ["stock", "mail"] {
        cx.http().put(URL).idempotency_key_for(effect).json(&effect).send().unwrap();
    }
    let requests = cx.recorded().requests();
    let sent: Vec<_> = requests.iter().map(|request| request.header("Idempotency-Key")).collect();
    assert_eq!(sent, [Some("k1:stock"), Some("k1:mail")]);
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
}

#[test]
fn what_goes_wrong_is_a_retry_or_an_unavailable_host() {
    #[track_caller]
    fn check(reply: Reply, expect: Failure) {
        let cx = Context::test().reply("POST", URL, reply).build();
        assert_eq!(charge(&cx).unwrap_err(), expect);
    }
    // The query may hold a secret, so no reason repeats it.
    let reason = |fault: &str| format!("POST https://Pay.example:8443/charges: {fault}");
    let unavailable = |fault: &str| Failure::unavailable("pay.example", reason(fault));
    let retry = |fault: &str| Failure::retry(reason(fault));
    check(Reply::status(503), unavailable("answered 503"));
    check(Reply::status(429), unavailable("answered 429"));
    check(Reply::status(429).header("retry-after", " 7 "), unavailable("answered 429").after(Duration::from_secs(7)));
    check(Reply::status(503).header("Retry-After", "Fri, 02 Jan 2026 03:04:05 GMT"), unavailable("answered 503"));
    check(Reply::refused(), unavailable("no connection: refused"));
    check(Reply::status(500).header("Retry-After", "7"), retry("answered 500"));
    check(Reply::status(404), retry("answered 404"));
    check(Reply::status(302), retry("answered 302"));
    check(Reply::timed_out(), retry("no whole answer within 10000 ms"));
    check(Reply::broken(), retry("the connection broke"));
    check(
        Reply::status(200).json(&json!({"id": 1234})),
        retry("the answer's body: field `id`: invalid type: integer, expected a string at line 1 column 10"),
    );
    check(
        Reply::status(200).body(vec![b' '; MAX_RESPONSE_BYTES + 1]),
        retry("the answer's body is over the limit of 16777216 bytes"),
    );
}

#[test]
fn an_unavailable_host_is_known_however_deep_its_error_was_wrapped() {
    fn of_anyhow(cx: &Context) -> anyhow::Result<Response> {
        use anyhow::Context as _;
        cx.http().get(URL).send().context("charges").context("checkout")
    }
    fn boxed(cx: &Context) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
        Ok(cx.http().get(URL).send()?)
    }
    let cx = Context::test().reply_with("GET", URL, |_| Reply::refused()).build();
    let reason = "GET https://Pay.example:8443/charges: no connection: refused";
    let expect = Failure::unavailable("pay.example", format!("checkout: charges: {reason}"));
    assert_eq!(of_anyhow(&cx).map_err(Failure::from).unwrap_err(), expect);
    assert_eq!(boxed(&cx).map_err(Failure::from).unwrap_err(), Failure::unavailable("pay.example", reason));
}

#[test]
fn a_request_has_no_more_time_than_the_handler() {
    let reply = |_: &_| Reply::timed_out();
    let context = |ms| Context::test().remaining(Duration::from_millis(ms)).reply_with("GET", URL, reply).build();
    #[track_caller]
    fn check(cx: &Context, timeout_s: u64, expect: &str) {
        let error = cx.http().get(URL).timeout(Duration::from_secs(timeout_s)).send().unwrap_err();
        assert_eq!(error.fault().to_string(), expect);
    }
    check(&context(3000), 2, "no whole answer within 2000 ms");
    check(&context(3000), 5, "no whole answer within 2750 ms");
    check(&context(100), 5, "no whole answer within 0 ms");
}

#[test]
fn what_cannot_be_sent_says_why() {
    #[track_caller]
    fn check(url: &str, body: &impl serde::Serialize, expect: &str) {
        let cx = Context::test().build();
        let failure = Failure::from(cx.http().post(url).json(body).send().unwrap_err());
        assert_eq!(failure, Failure::retry(expect));
        assert_eq!(cx.recorded().requests(), []);
    }
    check("pay.example", &(), "POST request: the URL has no scheme: write https://host/path");
    let unspeakable = std::collections::HashMap::from([((1, 2), 3)]);
    check(URL, &unspeakable, "POST https://Pay.example:8443/charges: the body has no JSON: key must be a string");
}

#[test]
#[should_panic(expected = "the handler sent GET https://a.example/, for which the test has no reply")]
fn a_request_without_a_reply_is_the_tests_mistake() {
    let cx = Context::test().reply("POST", "https://a.example", Reply::status(200)).build();
    let _panics = cx.http().get("https://a.example").send();
}
