use super::*;

#[test]
fn destinations_match_whole_hosts_in_canonical_form() {
    let check = |rule: &str, url: &str, expect: bool| {
        let destination = Destination::parse(rule).unwrap();
        let matches = canonical(&Url::parse(url).unwrap())
            .is_ok_and(|(scheme, host, port)| destination.matches(&scheme, &host, port));
        assert_eq!(matches, expect, "{rule} and {url}");
    };
    check("https://api.example.com:443", "https://api.example.com/x", true);
    check("https://api.example.com", "https://API.EXAMPLE.com.:443/x", true);
    check("https://api.example.com", "http://api.example.com/", false);
    check("https://api.example.com", "https://api.example.com:444/", false);
    check("https://api.example.com", "https://api.example.com.evil.example/", false);
    check("https://api.example.com", "https://user@api.example.com/", false);
    check("https://*.example.com", "https://a.b.example.com/", true);
    check("https://*.example.com", "https://example.com/", false);
    check("https://*.example.com", "https://badexample.com/", false);
    check("http://127.0.0.1:80", "http://0x7f.1/", true);
    check("https://bücher.example", "https://xn--bcher-kva.example/", true);
    check("https://*.example.com", "https://.example.com/", false);
    check("https://*.example.com", "https://example.com.evil.example/", false);
    check("http://[fd00::1]:80", "http://[FD00:0::0001]/", true);
    for bad in ["ftp://x", "https://", "api.example.com", "https://x/path", "https://u:p@x", "https://*.1.2.3.4"] {
        assert!(Destination::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_target_is_canonical_whatever_was_written() {
    let check = |text: &str, expect: &str| {
        let target = Target::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        assert_eq!(format!("{} {} {}", target.uri, target.host, target.port), expect, "{text}");
    };
    check("HTTPS://API.Example.COM/A?b", "https://api.example.com/A?b api.example.com 443");
    check("https://api.example.com./", "https://api.example.com/ api.example.com 443");
    check("https://api.example.com.:8443/", "https://api.example.com:8443/ api.example.com 8443");
    check("http://api.example.com:80/", "http://api.example.com/ api.example.com 80");
    check("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/ xn--bcher-kva.example 443");
    check("https://B\u{dc}CHER.example/", "https://xn--bcher-kva.example/ xn--bcher-kva.example 443");
    check("https://\u{ff41}pi.example/", "https://api.example/ api.example 443");
    check("https://%61pi.example/", "https://api.example/ api.example 443");
    // Each way to write 127.0.0.1 and 169.254.169.254.
    for text in
        ["http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://127.1/", "http://0177.0.0.1/"]
    {
        check(text, "http://127.0.0.1/ 127.0.0.1 80");
    }
    for text in ["http://127.0.0.1./", "http://127\u{3002}0\u{ff0e}0.1/", "http://\u{2460}27.0.0.1/"] {
        check(text, "http://127.0.0.1/ 127.0.0.1 80");
    }
    for text in ["http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://169.254.43518/"] {
        check(text, "http://169.254.169.254/ 169.254.169.254 80");
    }
    check("http://[::FFFF:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/ ::ffff:a9fe:a9fe 80");
    check("http://[64:ff9b::169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/ 64:ff9b::a9fe:a9fe 80");
}

#[test]
fn a_target_that_could_be_read_in_two_ways_is_refused() {
    for text in [
        "https://user@api.example.com/",
        "https://user:password@api.example.com/",
        "https://api.example.com:443@evil.example/",
        "https://:@api.example.com:443:443/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://256.256.256.256/",
        "http://1.2.3.4.5/",
        "http://0x7g.1/",
        "http://api example.com/",
        "http://api%00.example.com/",
        "http://api%2f.example.com/",
        "http://./",
        "http://../",
        "http://127.0.0.1../",
        "http:///",
        "https://api.example.com:65536/",
        "ftp://api.example.com/",
        "file:///etc/passwd",
        "/only/a/path",
    ] {
        assert!(Target::parse(text).is_err(), "{text} gave {:?}", Target::parse(text));
    }
}

#[test]
fn an_open_host_is_canonical_too() {
    let check = |text: &str, expect: Option<(&str, u16)>| {
        let expect = expect.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(host_and_port(text), expect, "{text}");
    };
    check("Localhost.:80", Some(("localhost", 80)));
    check("[::1]:8080", Some(("::1", 8080)));
    check("0x7f.1:9", Some(("127.0.0.1", 9)));
    check("localhost", None);
    check("user@localhost:80", None);
    check("localhost:http", None);
}
