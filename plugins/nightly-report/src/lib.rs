//! Asks for the report of the day: a schedule sends it a message every night.

use wasq_sdk::{AttributeValue, Context, Failure, handler};

/// The attribute that says for which tick of its schedule a message was sent.
const SCHEDULED_AT: &str = "wasq-scheduled-at";

/// Asks for one report: of the tick, so that a late message asks for the same.
#[handler]
pub fn report_due(cx: &Context) -> Result<(), Failure> {
    let Some(AttributeValue::Text(at)) = cx.message().attribute(SCHEDULED_AT) else {
        return Err(Failure::reject(format!("it has no attribute `{SCHEDULED_AT}`: it is for a schedule to send")));
    };
    let report = serde_json::json!({ "at": at });
    cx.http().post(cx.variable("reports_api")?).idempotency_key().json(&report).send()?.error_for_status()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasq_sdk::test::Reply;

    use super::*;

    const API: &str = "https://reports.example/reports";

    #[test]
    fn it_asks_for_the_report_of_its_tick() {
        let cx = Context::test()
            .variable("reports_api", API)
            .attribute(SCHEDULED_AT, "2027-01-31T02:00:00Z")
            .reply("POST", API, Reply::status(201))
            .build();
        assert_eq!(report_due(&cx), Ok(()));
        assert_eq!(
            cx.recorded().requests()[0].json::<serde_json::Value>(),
            serde_json::json!({ "at": "2027-01-31T02:00:00Z" })
        );
    }

    #[test]
    fn what_no_schedule_has_sent_is_refused() {
        assert!(matches!(report_due(&Context::test().build()), Err(Failure::Reject { .. })));
    }
}
