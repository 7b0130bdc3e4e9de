//! The config of the demo's host.

use std::path::Path;

use super::expected::REPORTS;
use crate::config::{Config, LedgerConfig, PluginConfig};

/// The demo's queue.
pub const QUEUE: &str = "orders";
/// What it is called on a server that others use, too.
pub const SHARED_QUEUE: &str = "wasq-demo-orders";
/// How often the partner lets itself be called, by all hosts together.
pub const PARTNER_LIMIT: &str = "20/s";
/// From one nightly report to the next: nights are short here.
pub const NIGHT_S: i64 = 2;

/// The host's config: the plugins' destinations moved to the demo's world. `location` is what it
/// says of where the queue is.
pub fn config(dir: &Path, plugins_dir: &Path, location: &str, world: &str) -> anyhow::Result<Config> {
    let text = format!(
        "scope = \"shop\"\ngrant_all = true\ndrain_s = 5\n{location}\
         [ingress]\nlisten = \"127.0.0.1:0\"\n[rates.partner]\nlimit = \"{PARTNER_LIMIT}\"\n\
         [schedules.nightly-report]\nevery = \"{NIGHT_S}s\"\nqueue = \"{QUEUE}\"\ntype = \"report_due\"\nbody = \"{{}}\"\n"
    );
    let mut config = Config::parse(&text, Path::new("(demo)"))?;
    config.plugins_dir = plugins_dir.to_owned();
    config.ledger = LedgerConfig::Local { path: dir.join("ledger") };
    config.admin.listen = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    config.egress.open_hosts = vec![world.trim_start_matches("http://").to_owned()];
    let moved: [(&str, &[(&str, &str)]); 9] = [
        ("send-receipt", &[("mail_api", "/mail/messages")]),
        ("make-receipt", &[("storage_url", "/storage/receipts")]),
        (
            "update-inventory",
            &[
                ("warehouse_api", "/inventory/warehouse/reservations"),
                ("storefront_api", "/inventory/storefront/reservations"),
                ("marketplace_api", "/inventory/marketplace/reservations"),
            ],
        ),
        ("notify-partner", &[("partner_webhook", "/partner/webhooks/orders")]),
        ("track-analytics", &[("analytics_api", "/analytics/events")]),
        ("write-audit", &[("audit_api", "/audit")]),
        ("make-thumbnails", &[("storage_url", "/storage/thumbnails")]),
        (
            "publish-video",
            &[
                ("storage_url", "/storage/videos"),
                ("moderation_api", "/moderation/reviews"),
                ("catalogue_api", "/catalogue/videos"),
            ],
        ),
        ("nightly-report", &[("reports_api", REPORTS)]),
    ];
    for (plugin, paths) in moved {
        let variables = paths.iter().map(|(name, path)| ((*name).to_owned(), format!("{world}{path}"))).collect();
        let own =
            PluginConfig { variables, allowed_outbound_hosts: Some(vec![world.to_owned()]), ..PluginConfig::default() };
        config.plugins.insert(plugin.to_owned(), own);
    }
    let partner = config.plugins.entry("notify-partner".into()).or_default();
    partner.variables.insert("partner_secret".into(), "the demo's secret".into());
    Ok(config)
}

/// On the local queue.
pub fn on_local_sqs(endpoint_url: &str) -> String {
    format!("[aws]\nendpoint_url = \"{endpoint_url}\"\n[queues.{QUEUE}]\ndlq = \"{QUEUE}-dlq\"\n")
}

/// On a server. `location` is where its queue is.
pub fn on_server(location: &str) -> String {
    format!("[queues.{QUEUE}]\ndlq = \"{SHARED_QUEUE}-dlq\"\n{location}")
}
