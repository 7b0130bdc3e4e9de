use super::*;

fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, BadProxy> {
    Proxies::from_env(|name| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn each_scheme_has_its_proxy() {
    let proxies = proxies(&[("HTTPS_PROXY", "http://one.example:3128"), ("http_proxy", "two.example:8080")]).unwrap();
    let to = |scheme: &str| proxies.to(scheme, "sqs.eu-west-1.amazonaws.com", 443).map(ToString::to_string);
    assert_eq!(to("https").as_deref(), Some("http://one.example:3128"));
    assert_eq!(to("http").as_deref(), Some("http://two.example:8080"));
}

#[test]
fn lower_case_goes_first_and_an_empty_one_is_none() {
    let both = proxies(&[("HTTPS_PROXY", "http://a.example"), ("https_proxy", "http://b.example")]).unwrap();
    assert_eq!(both.https().unwrap().to_string(), "http://b.example:80");
    assert!(proxies(&[("HTTPS_PROXY", "")]).unwrap().https().is_none());
}

#[test]
fn no_proxy_has_names_suffixes_networks_ports_and_a_star() {
    let check = |rules: &str, host: &str, port: u16, expect: bool| {
        assert_eq!(NoProxy::parse(rules).covers(host, port), expect, "{rules} {host}:{port}");
    };
    check("internal.example", "internal.example", 443, true);
    check("internal.example", "sqs.internal.example", 443, true);
    check("internal.example", "notinternal.example", 443, false);
    check(".internal.example", "a.internal.example", 443, true);
    check("*.internal.example", "a.internal.example", 443, true);
    check("Internal.Example", "INTERNAL.example.", 443, true);
    check("10.0.0.0/8, 192.168.1.7", "10.20.30.40", 443, true);
    check("10.0.0.0/8, 192.168.1.7", "192.168.1.7", 443, true);
    check("10.0.0.0/8, 192.168.1.7", "192.168.1.8", 443, false);
    check("10.0.0.0/8", "ten.example", 443, false);
    check("fd00::/8", "fd00::1", 443, true);
    check("[fd00::1]:8443", "fd00::1", 8443, true);
    check("[fd00::1]:8443", "fd00::1", 443, false);
    check("a.example:8443 b.example", "a.example", 443, false);
    check("a.example:8443 b.example", "a.example", 8443, true);
    check("a.example:8443 b.example", "b.example", 443, true);
    check("10.0.0.1:80", "10.0.0.1", 80, true);
    check("10.0.0.1:80", "10.0.0.1", 443, false);
    check("*", "anything.example", 1, true);
    check("", "anything.example", 1, false);
}

#[test]
fn this_machine_and_instance_metadata_are_never_asked_through_a_proxy() {
    let proxies = proxies(&[("HTTP_PROXY", "http://p.example"), ("HTTPS_PROXY", "http://p.example")]).unwrap();
    for host in ["localhost", "127.0.0.1", "::1", "169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"]
    {
        assert!(proxies.to("http", host, 80).is_none(), "{host}");
        assert!(proxies.to("https", host, 443).is_none(), "{host}");
    }
    assert!(proxies.to("http", "10.0.0.1", 80).is_some());
}

#[test]
fn a_password_is_never_shown() {
    let proxy = Proxy::parse("HTTPS_PROXY", "http://user:s3cret@p.example:3128").unwrap();
    assert_eq!(format!("{proxy} {proxy:?}"), "http://p.example:3128 http://p.example:3128");
    let error = Proxy::parse("HTTPS_PROXY", "socks5://user:s3cret@p.example").unwrap_err().to_string();
    assert!(
        error.starts_with("HTTPS_PROXY is no proxy's URL: the scheme socks5") && !error.contains("s3cret"),
        "{error}"
    );
}
