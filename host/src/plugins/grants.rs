//! What a plugin asks for, what the operator grants, and what its component imports: all three have to fit.
//!
//! Nothing is granted by itself. A manifest's lists are requests; the operator's config answers them plugin by plugin, or
//! accepts them all with `grant_all`. A secret is granted by the header that the operator puts it into. Files and sockets are
//! never granted; a component that imports them all the same may be let do so, and finds none.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::manifest::Manifest;
use super::reason::Reason;
use crate::config::{Config, EmptyInterface, PluginConfig};
use crate::sandbox::egress::secrets_in;
use crate::sandbox::{Grants, OWN_QUEUE};

/// What the operator makes of the manifest's requests.
///
/// # Errors
/// The request that is not answered, with the lines to add.
pub fn granted(manifest: &Manifest, operator: &PluginConfig, config: &Config) -> Result<Grants, Reason> {
    let (asks, all) = (manifest, config.grant_all);
    let refused = |(key, verb, list)| Reason::NotGranted { name: manifest.name.clone(), verb, key, list };
    let hosts = answer(&asks.allowed_outbound_hosts, &operator.allowed_outbound_hosts, all);
    let queues = answer(&asks.queues, &operator.queues, all);
    let empty = answer(&asks.empty_interfaces, &operator.empty_interfaces, all);
    let grants = Grants {
        hosts: hosts.map_err(|list| refused(("allowed_outbound_hosts", "call", list)))?,
        queues: queues.map_err(|list| refused(("queues", "send to", list)))?,
        empty_interfaces: empty.map_err(|list| refused(("empty_interfaces", "import the empty", list)))?,
        secrets: secrets_of(operator),
    };
    check_secrets(manifest, &grants, config.grant_all)?;
    match grants.queues.iter().find(|queue| !config.is_sent_to(queue)) {
        // Where everything is accepted, a queue that is not there is found out by `wasq check`, or
        // when it is sent to.
        Some(queue) if !config.grant_all => Err(Reason::NoQueue { queue: queue.clone() }),
        Some(_) | None => Ok(grants),
    }
}

/// The operator's answer to a list of requests, or the list if there is none.
fn answer<T: Clone + Display>(asked: &[T], granted: &Option<Vec<T>>, grant_all: bool) -> Result<Vec<T>, String> {
    match granted {
        Some(granted) => Ok(granted.clone()),
        None if grant_all || asked.is_empty() => Ok(asked.to_vec()),
        None => Err(in_quotes(asked)),
    }
}

/// The secrets that the operator's own headers name: who writes a secret into one grants it, to that destination.
fn secrets_of(operator: &PluginConfig) -> Vec<String> {
    let templates = operator.headers.values().flat_map(|headers| headers.values());
    let names: BTreeSet<_> = templates.flat_map(|template| secrets_in(&template.0)).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Whether the plugin gets the secrets that it asks for. Where everything is granted, it runs without them too.
fn check_secrets(manifest: &Manifest, grants: &Grants, grant_all: bool) -> Result<(), Reason> {
    let Some(secret) = manifest.secrets.iter().find(|asked| !grants.secrets.contains(asked)) else { return Ok(()) };
    if grant_all {
        return Ok(());
    }
    let destination = grants.hosts.first().map_or("https://api.example:443", String::as_str);
    Err(Reason::NoSecret { name: manifest.name.clone(), secret: secret.clone(), destination: destination.to_owned() })
}

/// Whether a component with these imports may run.
///
/// # Errors
/// The import for which nothing was granted, with the line to add.
pub fn check_imports(grants: &Grants, name: &str, imports: &[String]) -> Result<(), Reason> {
    let needs = [
        ("wasi:http/outgoing-handler@", "allowed_outbound_hosts", grants.hosts.is_empty(), "https://api.example:443"),
        ("wasq:worker/outbox@", "queues", grants.queues.is_empty(), OWN_QUEUE),
    ];
    let empty = EmptyInterface::ALL.map(|interface| {
        let granted = grants.empty_interfaces.contains(&interface);
        (interface.name(), "empty_interfaces", !granted, interface.name())
    });
    for (interface, key, nothing_granted, example) in needs.into_iter().chain(empty) {
        if let Some(import) = imports.iter().find(|import| nothing_granted && import.starts_with(interface)) {
            return Err(Reason::Import { import: import.clone(), name: name.to_owned(), key, example });
        }
    }
    Ok(())
}

fn in_quotes(list: &[impl Display]) -> String {
    list.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(lines: &str) -> Manifest {
        Manifest::parse(&format!("name = 'p'\ntypes = ['t']\n{lines}")).unwrap()
    }

    fn config(text: &str) -> Config {
        Config::parse(text, std::path::Path::new("wasq.toml")).unwrap()
    }

    #[test]
    fn requests_are_granted_by_the_operator_or_refused_with_the_lines_to_add() {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let check = |asks: &str, operators: &str, expect: Result<(&[&str], &[&str]), &str>| {
            let config = config(operators);
            let own = PluginConfig::default();
            let got = granted(&manifest(asks), config.plugins.get("p").unwrap_or(&own), &config);
            match (expect, got) {
                (Ok((hosts, queues)), Ok(got)) => {
                    assert_eq!((got.hosts, got.queues), (owned(hosts), owned(queues)));
                }
                (Err(part), Err(got)) => assert!(got.to_string().contains(part), "{got}"),
                (expect, got) => panic!("{asks} under {operators}: {got:?}, wanted {expect:?}"),
            }
        };
        let asks = "allowed_outbound_hosts = ['https://a:443']\nqueues = ['self', 'mails']";
        let queues = "[queues.jobs]\n[queues.mails]\n";
        check("", queues, Ok((&[], &[])));
        check(asks, queues, Err("[plugins.p]\n  allowed_outbound_hosts = [\"https://a:443\"]"));
        let hosts = format!("{queues}[plugins.p]\nallowed_outbound_hosts = ['https://b:443']\n");
        check(asks, &hosts, Err("[plugins.p]\n  queues = [\"self\", \"mails\"]"));
        check(asks, &format!("{hosts}queues = ['self']"), Ok((&["https://b:443"], &["self"])));
        check(asks, &format!("{hosts}queues = ['mials']"), Err("[queues.mials]"));
        let outlet = "[queues.jobs]\n[outlets.mails]\n[plugins.p]\nallowed_outbound_hosts = ['https://b:443']\n";
        check(asks, &format!("{outlet}queues = ['mails']"), Ok((&["https://b:443"], &["mails"])));
        let empty = "empty_interfaces = ['wasi:sockets']";
        check(empty, queues, Err("[plugins.p]\n  empty_interfaces = [\"wasi:sockets\"]"));
        check(empty, &format!("{queues}[plugins.p]\n{empty}"), Ok((&[], &[])));
        check(asks, &format!("grant_all = true\n{queues}"), Ok((&["https://a:443"], &["self", "mails"])));
    }

    #[test]
    fn a_secret_is_granted_by_the_header_that_the_operator_puts_it_into() {
        let asks = manifest("allowed_outbound_hosts = ['https://a:443']\nsecrets = ['TOKEN']");
        let head = "[queues.jobs]\n[plugins.p]\nallowed_outbound_hosts = ['https://a:443']\n";
        let check = |lines: &str, expect: Result<&[&str], &[&str]>| {
            let config = config(lines);
            match (expect, granted(&asks, &config.plugins["p"], &config)) {
                (Ok(secrets), Ok(got)) => assert_eq!(got.secrets, secrets),
                (Err(parts), Err(got)) => assert!(parts.iter().all(|part| got.to_string().contains(part)), "{got}"),
                (expect, got) => panic!("{lines}: {got:?}, wanted {expect:?}"),
            }
        };
        let lines = "[plugins.p.headers.\"https://a:443\"]\n  authorization = \"Bearer {secret:TOKEN}\"";
        check(head, Err(&["`TOKEN`", lines]));
        check(&format!("{head}{lines}"), Ok(&["TOKEN"]));
        check(&format!("{head}{lines}\nx-more = '{{secret:KEY}}{{secret:TOKEN}}'"), Ok(&["KEY", "TOKEN"]));
        check(&format!("{head}[plugins.p.headers.'https://a:443']\nx = '{{secret:OTHER}}'"), Err(&["`TOKEN`"]));
        check(&format!("{head}[plugins.q.headers.'https://a:443']\nx = '{{secret:TOKEN}}'"), Err(&["`TOKEN`"]));
        check(&format!("grant_all = true\n{head}"), Ok(&[]));
    }

    #[test]
    fn an_import_without_a_grant_is_named() {
        let imports = ["wasi:http/outgoing-handler@0.2.12".to_owned(), "wasq:worker/outbox@0.1.0".to_owned()];
        let hosts = Grants { hosts: vec!["https://a:443".into()], ..Grants::default() };
        let error = |grants: &Grants| check_imports(grants, "p", &imports).unwrap_err().to_string();
        assert!(error(&Grants::default()).contains("wasi:http/outgoing-handler@0.2.12"));
        assert!(error(&hosts).contains("wasq:worker/outbox@0.1.0") && error(&hosts).contains("queues = [\"self\"]"));
        assert!(check_imports(&Grants { queues: vec!["self".into()], ..hosts }, "p", &imports).is_ok());
        assert!(check_imports(&Grants::default(), "p", &["wasi:io/poll@0.2.12".to_owned()]).is_ok());

        let imports = ["wasi:filesystem/preopens@0.2.12".to_owned(), "wasi:sockets/tcp@0.2.12".to_owned()];
        let error = |granted: &[EmptyInterface]| {
            let grants = Grants { empty_interfaces: granted.to_vec(), ..Grants::default() };
            check_imports(&grants, "p", &imports).map_err(|error| error.to_string())
        };
        let files = error(&[]).unwrap_err();
        assert!(files.contains(&imports[0]) && files.contains("empty_interfaces = [\"wasi:filesystem\"]"), "{files}");
        assert!(error(&[EmptyInterface::Filesystem]).unwrap_err().contains(&imports[1]));
        assert_eq!(error(&EmptyInterface::ALL), Ok(()));
    }
}
