use std::sync::Arc;

use super::*;
use crate::plugins::grants::granted;
use crate::sandbox::egress::Dialer;

#[test]
fn what_one_part_grants_and_another_takes_back_is_said_with_the_setting_that_does() {
    let check = |manifest: &str, config: &str, expect: &[&[&str]]| {
        let manifest = Manifest::parse(&format!("name = 'p'\ntypes = ['t']\n{manifest}")).unwrap();
        let text = format!("grant_all = true\n[queues.jobs]\n{config}");
        let config = Arc::new(Config::parse(&text, std::path::Path::new("wasq.toml")).unwrap());
        let own = PluginConfig::default();
        let operator = config.plugins.get("p").unwrap_or(&own);
        let grants = granted(&manifest, operator, &config).unwrap();
        let dialer = Dialer::new(&config).unwrap();
        let egress = dialer.egress("p", &grants.hosts).unwrap();
        let (headers, signing) = (egress.unused_headers().cloned(), egress.unused_signing().map(str::to_owned));
        let found = conflicts(&manifest, operator, &config, &grants, dialer.closed(&egress), headers, signing);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(expect.iter().all(|part| found.contains(part)), "{found:?} has not all of {expect:?}");
        }
    };
    check("", "", &[]);
    let local = "allowed_outbound_hosts = ['http://127.0.0.1:7799', 'https://api.example', 'http://localhost:7799']";
    let closed: [&[&str]; 2] = [
        &["http://127.0.0.1:7799", "egress.open_hosts = [\"127.0.0.1:7799\"]"],
        &["http://localhost:7799", "egress.open_hosts = [\"localhost:7799\"]"],
    ];
    check(local, "", &closed);
    check(local, "[egress]\nopen_hosts = ['127.0.0.1:7799']", &closed[1..]);
    check(local, "[egress]\nopen_hosts = ['127.0.0.1:7799', 'localhost:7799']", &[]);
    let headers = "[plugins.p.headers.'https://other.example']\nx = 'y'";
    let named = ["https://other.example:443", "plugins.p.allowed_outbound_hosts"];
    check("allowed_outbound_hosts = ['https://api.example']", headers, &[&named]);
    let sign = "[plugins.p.sign.'https://*.s3.eu-west-1.amazonaws.com']";
    let named = ["plugins.p.sign.\"https://*.s3.eu-west-1.amazonaws.com\" ", "plugins.p.allowed_outbound_hosts"];
    check("allowed_outbound_hosts = ['https://s3.eu-west-1.amazonaws.com']", sign, &[&named]);
    for host in ["*.s3.eu-west-1.amazonaws.com", "a.s3.eu-west-1.amazonaws.com", "*.amazonaws.com"] {
        check(&format!("allowed_outbound_hosts = ['https://{host}']"), sign, &[]);
    }
    check("allowed_outbound_hosts = ['https://api.example']", "[limits]\nrequests = 0", &[&["limits.requests = 0"]]);
    check("queues = ['self']", "[limits]\noutbox_messages = 0", &[&["limits.outbox_messages = 0"]]);

    let minute = "[limits]\nmax_timeout = '1m'";
    check("", "[limits]\nmax_timeout = '1s'\nmax_memory = '1MiB'", &[]);
    check("timeout = '1h'", minute, &[&["timeout = \"1h\"", "limits.max_timeout", "plugins.p.timeout = \"1m\""]]);
    check("timeout = '1h'", &format!("{minute}\n[plugins.p]\ntimeout = '1m'"), &[]);
    check("", &format!("{minute}\n[plugins.p]\ntimeout = '2m'"), &[&["\"2m\"", "limits.max_timeout"]]);
    check("memory = '1GiB'", "", &[&["memory", "limits.max_memory", "plugins.p.memory = \"256.0 MiB\""]]);
    check("memory = '1GiB'", "[plugins.p]\nmemory = '256.0 MiB'", &[]);
    let eight = "[limits]\nmax_instances = 8";
    check("max_concurrency = 7", eight, &[&["max_concurrency = 7", "limits.max_instances", "= 6"]]);
    check("max_concurrency = 5\npriority = 'low'", eight, &[&["max_concurrency = 5", "= 4"]]);
    check("max_concurrency = 8\npriority = 'high'", eight, &[]);
    check("[retry]\ninitial_interval = '1h'", "", &[&["15m", "1h", "retry.maximum_interval"]]);
    check("pools = ['db']", "", &[&["`db`", "set pools.db"]]);
    let keyed = "keyed_concurrency = { key = '{/a}', max = 6 }";
    check(keyed, "", &[]);
    check(&format!("{keyed}\nmax_concurrency = 5"), "", &[&["keyed_concurrency.max = 6", "max_concurrency lets 5"]]);
    check(&format!("{keyed}\nmax_concurrency = 6"), "", &[]);
    check("rates = ['stripe:{/account}']", "", &[&["`stripe`", "add [rates.stripe]"]]);
    check("secrets = ['TOKEN']", "", &[&["`TOKEN`", "plugins.p.headers"]]);
}
