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
fn an_import_of_http_without_a_host_is_named() {
    let imports = ["wasi:io/poll@0.2.12".to_owned(), "wasi:http/outgoing-handler@0.2.12".to_owned()];
    let hosts = Grants { hosts: vec!["https://a:443".into()], ..Grants::default() };
    assert_eq!(denied_import(&Grants::default(), &imports), Some(&imports[1]));
    assert_eq!(denied_import(&Grants::default(), &imports[..1]), None);
    assert_eq!(denied_import(&hosts, &imports), None);
}
