//! The image as an OCI runtime runs it: the root file system that the Dockerfile's own script
//! makes, around the binary of these tests, with the Dockerfile's user, environment and command,
//! and as few rights as the documents say that it needs.

mod bundle;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use self::bundle::{Bundle, MEMORY_MAX_BYTES};
use crate::cli::binary::wasq;
use crate::support::{Plugin, Rig, Setup, Sink, hosts, until, wat};

/// What an orchestrator waits for, from a SIGTERM on.
const STOP_MAX: Duration = Duration::from_secs(25);
const ORDERS: usize = 40;

/// The demo's handlers, with the variables that are addresses of the outside world.
const SHOP: [(&str, &[(&str, &str)]); 6] = [
    ("make-receipt", &[("storage_url", "receipts")]),
    ("notify-partner", &[("partner_webhook", "webhook")]),
    ("send-receipt", &[("mail_api", "mail")]),
    ("track-analytics", &[("analytics_api", "analytics")]),
    (
        "update-inventory",
        &[("warehouse_api", "warehouse"), ("storefront_api", "storefront"), ("marketplace_api", "marketplace")],
    ),
    ("write-audit", &[("audit_api", "audit")]),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_container_can_write_to_its_mounts_and_has_no_rights() {
    let rig = Setup::probe().without_host().await;
    let bundle = Bundle::make(&config(&rig, ""), &rig.plugins_dir()).await;
    let container = bundle.run("limits").await;
    bundle.healthy("limits", &container).await;

    let of_process = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", bundle.pid("limits"))).unwrap();
    let status = of_process("status");
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        found.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((line("Uid:"), line("Gid:")), (vec!["65532".to_owned(); 4], vec!["65532".to_owned(); 4]));
    assert_eq!(line("Groups:"), Vec::<String>::new());
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(line("NoNewPrivs:"), ["1"]);
    let mounts = of_process("mountinfo");
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let writable = fields.filter(|fields| fields[5].split(',').any(|option| option == "rw"));
    let writable: BTreeSet<_> = writable.map(|fields| fields[4].to_owned()).collect();
    // The kernel's own /proc, and /dev with its null device, are every container's.
    assert_eq!(writable, ["/dev", "/proc", "/tmp", "/var/lib/wasq"].map(str::to_owned).into());
    assert_eq!(bundle.memory_limit("limits").await, MEMORY_MAX_BYTES);
    hosts::end(container).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_runs_the_shops_handlers_and_loses_nothing_at_a_sigterm_under_load() {
    let setup = SHOP.iter().fold(Setup::new(), |setup, (name, _)| setup.plugin(Plugin::shop(name)));
    let rig = setup.without_host().await;
    let head = json!({ "sequence": 41, "hash": "abc" });
    rig.sink.answers("audit/head", std::iter::repeat_n(head, 100 * ORDERS));
    let bundle = Bundle::make(&config(&rig, &grants(&rig)), &rig.plugins_dir()).await;
    for number in 0..ORDERS / 2 {
        send(&rig, number).await;
    }
    let container = bundle.run("first").await;
    until("some are done", || async { rig.sink.count("warehouse") >= 5 }).await;
    let hold = rig.sink.hold("warehouse");
    let before = rig.sink.count("warehouse");
    for number in ORDERS / 2..ORDERS {
        send(&rig, number).await;
    }
    until("others hang", || async { rig.sink.count("warehouse") >= before + 4 }).await;
    container.signal("TERM").await;
    assert_eq!(container.ends_within(STOP_MAX).await, Some(0));
    let (visible, in_flight, delayed) = rig.counts("jobs").await;
    assert!(
        visible > 0 && (in_flight, delayed) == (0, 0),
        "{visible} {in_flight} {delayed}: what hung was not released"
    );

    drop(hold);
    let container = bundle.run("second").await;
    rig.emptied().await;
    hosts::end(container).await;
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    for name in ["webhook", "mail", "analytics", "warehouse", "storefront", "marketplace", "audit/entries"] {
        let keys = rig.sink.calls(name).into_iter().map(|call| call.headers["idempotency-key"].clone());
        assert_eq!(keys.collect::<std::collections::HashSet<_>>().len(), ORDERS, "orders that reached {name}");
    }
    for number in 0..ORDERS {
        assert!(rig.sink.count(&format!("receipts/A-{number}.pdf")) >= 1, "no receipt for the order {number}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_containers_take_a_message_from_the_local_queue() {
    let document = include_str!("../../docs/operate/container.md").split("## On the local queue").nth(1).unwrap();
    let command = document.lines().find_map(|line| line.trim().strip_prefix("wasq local-queue ")).unwrap();
    let words = ["local-queue"].into_iter().chain(command.split(' '));
    let command: Vec<_> = words.map(|word| word.replace(":9324", ":0")).collect();
    let sink = Sink::start().await;
    let plugins = tempfile::tempdir().unwrap();
    Plugin::component("greet", wat::done()).types(&["greeting"]).install(plugins.path(), &sink);

    let bundle = Bundle::of(&command, "", plugins.path()).await;
    let queue = bundle.start("queue");
    let line = queue.line("local queue http://").await;
    let endpoint = line.split_whitespace().last().unwrap();
    let config = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = config.replace("http://queue:9324", endpoint) + "[admin]\nlisten = '127.0.0.1:0'\n";
    let with_host = Bundle::make(&config, plugins.path()).await;
    let host = with_host.run("host").await;

    let send = document.lines().find_map(|line| line.strip_prefix("wasq send greeting ")).unwrap();
    let (body, rest) = send.trim_start_matches('\'').split_once("' ").unwrap();
    let rest = rest.replace("http://127.0.0.1:9324", endpoint);
    wasq(["send", "greeting", body].into_iter().chain(rest.split(' '))).check(0, &[]).await;
    hosts::until_exits(&host, "done", 1).await;
    hosts::end(host).await;
    queue.signal("TERM").await;
    assert_eq!(queue.ends_within(STOP_MAX).await, Some(0));
}

/// What an operator would mount as `/etc/wasq/wasq.toml`.
fn config(rig: &Rig, more: &str) -> String {
    format!(
        "plugins_dir = '/plugins'\ncompile_cache = '/var/lib/wasq/compiled'\ngrant_all = {}\ndrain_s = 5\n\
         ledger = {{ store = 'local', path = '/var/lib/wasq/ledger' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
         aws = {{ endpoint_url = '{}', region = 'eu-central-1' }}\negress = {{ open_hosts = ['{}'] }}\n\
         [queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'\nconcurrency = 8\n{more}",
        more.is_empty(),
        rig.sqs.endpoint_url(),
        rig.sink.host(),
    )
}

fn grants(rig: &Rig) -> String {
    let mut text = "[rates.partner]\nlimit = '1000/s'\n".to_owned();
    for (plugin, variables) in SHOP {
        writeln!(text, "[plugins.{plugin}]\nallowed_outbound_hosts = ['{}']", rig.sink.origin()).unwrap();
        let variables = variables.iter().map(|(name, path)| format!("{name} = '{}'", rig.sink.url(path)));
        let secret = (plugin == "notify-partner").then(|| "partner_secret = 's3cret'".to_owned());
        let variables: Vec<_> = variables.chain(secret).collect();
        writeln!(text, "variables = {{ {} }}", variables.join(", ")).unwrap();
    }
    text
}

async fn send(rig: &Rig, number: usize) {
    let order = json!({
        "order_id": format!("A-{number}"), "customer": { "email": "ada@example.com", "name": "Ada" },
        "items": [{ "sku": "TEA-1", "quantity": 2, "unit_price_cents": 450 }],
        "total_cents": 900, "currency": "EUR", "placed_at": "2026-01-02T03:04:05Z",
    });
    rig.message(order).kind("order_completed").send().await;
}
