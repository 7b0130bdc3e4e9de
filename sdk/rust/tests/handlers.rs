//! The forms that a handler may have, and what the host gets of each.

use std::time::Duration;

use serde::Deserialize;
use wasq_sdk::test;
use wasq_sdk::{AttributeValue, Context, Failure, Handler, Outcome};

#[derive(Deserialize)]
struct Order {
    order_id: String,
}

#[track_caller]
fn check<Shape>(handler: impl Handler<Shape>, body: &str, expect: Result<Outcome, Failure>) {
    assert_eq!(test::run(handler, &Context::test().body(body).build()), expect);
}

mod with_a_body {
    use super::*;

    #[wasq_sdk::handler]
    fn nothing(_: Order, _: &Context) {}

    #[wasq_sdk::handler]
    fn outcome(_: Order, _: &Context) -> Outcome {
        Outcome::snooze(Duration::from_secs(5))
    }

    #[wasq_sdk::handler]
    fn result(order: Order, _: &Context) -> Result<Outcome, Failure> {
        Outcome::json(&order.order_id)
    }

    #[wasq_sdk::handler]
    fn of_anyhow(order: Order, _: &Context) -> anyhow::Result<()> {
        anyhow::bail!("no order {}", order.order_id)
    }

    #[test]
    fn a_handler_may_give_any_of_four() {
        let body = r#"{"order_id": "A-1"}"#;
        check(nothing, body, Ok(Outcome::done()));
        check(outcome, body, Ok(Outcome::Snooze(Duration::from_secs(5))));
        check(result, body, Ok(Outcome::result("\"A-1\"")));
        check(of_anyhow, body, Err(Failure::retry("no order A-1")));
    }

    #[test]
    fn a_body_that_does_not_fit_is_rejected() {
        #[track_caller]
        fn check_rejected(body: &str, expect: &str) {
            check(nothing, body, Err(Failure::reject(expect)));
        }
        check_rejected("", "body: not JSON: EOF while parsing a value at line 1 column 0");
        check_rejected("{}", "body: missing field `order_id` at line 1 column 2");
        check_rejected(
            r#"{"order_id": 1234}"#,
            "body: field `order_id`: invalid type: integer, expected a string at line 1 column 17",
        );
        let cx = Context::test().body(*b"{\"order_id\": \"\xff\"}").build();
        assert!(matches!(test::run(nothing, &cx), Err(Failure::Reject { .. })));
    }

    #[wasq_sdk::handler]
    fn anything(_: serde_json::Value, _: &Context) {}

    #[test]
    fn a_body_nested_deeper_than_the_stack_is_rejected() {
        let failure = test::run(anything, &Context::test().body("[".repeat(100_000)).build()).unwrap_err();
        assert!(matches!(failure, Failure::Reject { .. }), "{failure:?}");
        assert!(failure.reason().ends_with("not JSON: recursion limit exceeded at line 1 column 128"), "{failure:?}");
    }
}

mod without_a_body {
    use super::*;

    #[wasq_sdk::handler]
    fn raw(cx: &Context) -> Result<Outcome, Failure> {
        let message = cx.message();
        let width = message.attribute("width").and_then(AttributeValue::as_str).ok_or("no width")?;
        Ok(Outcome::result(format!("{} {} {width} {:?}", message.kind(), message.content_type(), message.body())))
    }

    #[test]
    fn it_sees_the_message_as_it_is() {
        let cx = Context::test()
            .kind("picture")
            .content_type("image/png")
            .attribute("width", 20)
            .attribute("digest", vec![1, 2])
            .body([0xff, 0x00])
            .build();
        assert_eq!(test::run(raw, &cx), Ok(Outcome::result("picture image/png 20 [255, 0]")));
        check(raw, "", Err(Failure::retry("no width")));
    }
}
