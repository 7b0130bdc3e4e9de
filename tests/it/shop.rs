//! The shop's own handlers, as they are shipped, on one order.

use serde_json::json;
use wasq::config::{OnOutage, PluginConfig, RateConfig};

use crate::support::{Answer, Plugin, Setup};

const HANDLERS: [&str; 6] =
    ["make-receipt", "notify-partner", "send-receipt", "track-analytics", "update-inventory", "write-audit"];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_reaches_all_of_the_shops_handlers_and_a_failure_repeats_only_what_failed() {
    let setup = HANDLERS.iter().fold(Setup::new(), |setup, name| setup.plugin(Plugin::shop(name)));
    let partner = RateConfig { limit: "20/s".parse().unwrap(), burst: 1, on_outage: OnOutage::Hold };
    let mut rig = setup
        .config(move |config| {
            config.grant_all = false;
            config.rates.insert("partner".into(), partner);
        })
        .without_host()
        .await;
    let url = |path: &str| rig.sink.url(path);
    let variables = [
        ("make-receipt", vec![("storage_url", url("receipts"))]),
        ("notify-partner", vec![("partner_webhook", url("webhook")), ("partner_secret", "s3cret".into())]),
        ("send-receipt", vec![("mail_api", url("mail"))]),
        ("track-analytics", vec![("analytics_api", url("analytics"))]),
        ("update-inventory", ["warehouse", "storefront", "marketplace"].map(|name| (name, url(name))).to_vec()),
        ("write-audit", vec![("audit_api", url("audit"))]),
    ];
    let origin = rig.sink.origin();
    for (name, variables) in variables {
        let named = |name: &str| if name.contains('_') { name.to_owned() } else { format!("{name}_api") };
        let config = PluginConfig {
            allowed_outbound_hosts: Some(vec![origin.clone()]),
            variables: variables.into_iter().map(|(name, value)| (named(name), value)).collect(),
            ..PluginConfig::default()
        };
        rig.config.plugins.insert(name.into(), config);
    }
    rig.sink.answers("storefront", [Answer::status(500)]);
    rig.sink.answers("audit/head", [json!({ "sequence": 41, "hash": "abc" })]);
    rig.start_host().await;
    assert_eq!(rig.admin("/plugins").await["failures"], json!([]));

    let order = json!({
        "order_id": "A-17", "customer": { "email": "ada@example.com", "name": "Ada" },
        "items": [{ "sku": "TEA-1", "quantity": 2, "unit_price_cents": 450 }],
        "total_cents": 900, "currency": "EUR", "placed_at": "2026-01-02T03:04:05Z",
    });
    rig.message(order).kind("order_completed").send().await;
    rig.emptied().await;

    let expect = [
        ("receipts/A-17.pdf", 1),
        ("webhook", 1),
        ("mail", 1),
        ("analytics", 1),
        ("warehouse", 1),
        ("storefront", 2),
        ("marketplace", 1),
        ("audit/head", 1),
        ("audit/entries", 1),
    ];
    for (path, count) in expect {
        assert_eq!(rig.sink.count(path), count, "{path}");
    }
    assert_eq!(rig.sink.calls("mail")[0].report["to"], "ada@example.com");
    assert_eq!(rig.sink.calls("audit/entries")[0].report["sequence"], 42);
    assert_eq!(rig.exits("done"), 6);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}
