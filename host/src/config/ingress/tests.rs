use super::*;

fn parsed(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("wasq.toml")).map_err(|error| error.to_string())
}

#[test]
fn it_is_off_and_on_loopback_open_to_this_machine() {
    let of = |listen: &str| parsed(&format!("[queues.jobs]\n[ingress]\n{listen}")).map(|config| config.ingress);
    assert_eq!(of("").expect("it is a config").listen, None);
    assert!(of("listen = '127.0.0.1:8080'").expect("it is a config").takes_anonymous());
    assert!(of("listen = '0.0.0.0:8080'\nanonymous = true").expect("it is a config").takes_anonymous());
    let open = of("listen = '0.0.0.0:8080'").expect_err("nobody may send");
    assert!(open.contains("ingress.listen") && open.contains("ingress.tokens"), "{open}");
}

#[test]
fn what_cannot_be_is_refused_by_its_key() {
    let check = |text: &str, parts: &[&str]| {
        let error = parsed(&format!("[queues.jobs]\n[ingress]\nlisten = '127.0.0.1:0'\n{text}")).expect_err(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    };
    check("queue = 'mail'", &["line 4", "ingress.queue", "outlets.mail"]);
    check("max_body = '1B'", &["ingress.max_body", "1 KiB"]);
    check("max_callback = '1MiB'", &["ingress.max_callback", "256 KiB"]);
    check("max_messages = 0", &["ingress.max_messages"]);
    check("request_timeout = '1ms'", &["ingress.request_timeout", "1 s"]);
    check("tls_key = 'key.pem'", &["ingress.tls_certificate", "both"]);
    check("[ingress.tokens.shop]\nsecret = 'shop'", &["ingress.tokens.shop.secret", "secrets.shop"]);
    let secret = "[secrets.shop]\nenv = 'SHOP'\n";
    check(&format!("[ingress.tokens.shop]\nsecret = 'shop'\ntypes = ['a*b']\n{secret}"), &["tokens.shop.types", "a*b"]);
    check(&format!("[ingress.tokens.shop]\nsecret = 'shop'\nrate = 'often'\n{secret}"), &["often", "100/s"]);
    check("[ingress.types.a]\nqueue = 'mail'", &["ingress.types.a.queue", "outlets.mail"]);
    check("[ingress.types.a.signature]\nsecret = 'hook'", &["ingress.types.a.signature.secret", "secrets.hook"]);
    check("[ingress.types.a]\nqueue = 'mail'\nmax_depth = 5\n[outlets.mail]", &["ingress.types.a.max_depth", "polls"]);
    let two = parsed("[queues.a]\n[queues.b]\n[ingress]\nlisten = '127.0.0.1:0'").expect_err("which one?");
    assert!(two.contains("ingress.queue") && two.contains("several"), "{two}");
}

#[test]
fn a_types_queue_goes_before_the_ports() {
    let config = parsed(
        "[queues.a]\n[queues.b]\n[outlets.c]\n[ingress]\nlisten = '127.0.0.1:0'\nqueue = 'a'\n[ingress.types.x]\nqueue = 'c'",
    );
    let config = config.expect("it is a config");
    assert_eq!((config.ingress_queue("x"), config.ingress_queue("y")), (Some("c"), Some("a")));
}
