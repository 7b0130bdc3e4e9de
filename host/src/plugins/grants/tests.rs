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
