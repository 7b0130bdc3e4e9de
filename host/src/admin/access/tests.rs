use super::*;

const TOKEN: &str = "a token of enough characters";
const NOW: UnixMs = UnixMs(1_000_000);

fn access(listen: &str, token: Option<&str>, actions: Option<bool>) -> Access {
    let config = config::Admin { listen: listen.parse().unwrap(), actions, ..config::Admin::default() };
    Access::new(&config, token.map(str::to_owned)).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn look(access: &Access, pairs: &[(&'static str, &str)], now: UnixMs) -> Result<Visitor, Refusal> {
    access.visitor(&headers(pairs), "127.0.0.1:5".parse().unwrap(), now)
}

#[test]
fn loopback_is_asked_by_its_own_names_alone() {
    let access = access("127.0.0.1:9325", None, None);
    for host in ["127.0.0.1:9325", "localhost:9325", "LOCALHOST", "[::1]:9325", "127.9.9.9"] {
        assert!(look(&access, &[("host", host)], NOW).is_ok(), "{host}");
    }
    for host in ["evil.example:9325", "127.0.0.1.evil.example", "", "10.0.0.1:9325", "localhost.:9325"] {
        assert_eq!(look(&access, &[("host", host)], NOW).unwrap_err(), Refusal::Host, "{host}");
    }
    assert_eq!(look(&access, &[], NOW).unwrap_err(), Refusal::Host);
}

#[test]
fn elsewhere_it_takes_the_token_or_its_session_and_is_read_only() {
    let none = access("0.0.0.0:9325", None, None);
    assert_eq!(look(&none, &[], NOW).unwrap_err(), Refusal::NoToken);

    let access = access("0.0.0.0:9325", Some(TOKEN), None);
    assert_eq!(look(&access, &[], NOW).unwrap_err(), Refusal::Login);
    assert_eq!(look(&access, &[("authorization", "Bearer wrong")], NOW).unwrap_err(), Refusal::Login);
    assert!(look(&access, &[("authorization", &format!("Bearer {TOKEN}"))], NOW).is_ok());
    assert_eq!(access.login(&headers(&[]), "wrong", NOW), Err(Refusal::Login));
    let cookie = access.login(&headers(&[]), TOKEN, NOW).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    assert!(look(&access, &[("cookie", &format!("a=b; {pair}"))], NOW).is_ok());
    let later = UnixMs(NOW.0 + SESSION.as_millis() as u64);
    assert_eq!(look(&access, &[("cookie", pair)], later).unwrap_err(), Refusal::Login, "it has run out");
    let longer = pair.replacen("wasq_session=", "wasq_session=9", 1);
    assert_eq!(look(&access, &[("cookie", &longer)], NOW).unwrap_err(), Refusal::Login, "it is signed");
    assert_eq!(access.may_act(&headers(&[])), Err(Refusal::ReadOnly));
}

#[test]
fn an_action_comes_from_a_page_of_this_host() {
    let access = access("127.0.0.1:9325", None, None);
    let act = |pairs: &[(&'static str, &str)]| access.may_act(&headers(pairs));
    let host = ("host", "localhost:9325");
    assert_eq!(act(&[host]), Ok(()));
    assert_eq!(act(&[host, ("origin", "http://localhost:9325"), ("sec-fetch-site", "same-origin")]), Ok(()));
    for other in [("origin", "http://evil.example"), ("origin", "null"), ("origin", "http://localhost:80")] {
        assert_eq!(act(&[host, other]), Err(Refusal::CrossSite), "{other:?}");
    }
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(act(&[host, ("sec-fetch-site", site)]), Err(Refusal::CrossSite), "{site}");
    }
    let look_at = |site: &str| access.may_look(&headers(&[host, ("sec-fetch-site", site)]));
    assert_eq!([look_at("same-origin"), look_at("none"), access.may_look(&headers(&[host]))], [Ok(()); 3]);
    for other in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://evil.example")]
    {
        assert_eq!(access.may_look(&headers(&[host, other])), Err(Refusal::LedHere), "{other:?}");
    }
    let visitor = look(&access, &[host], NOW).unwrap();
    let token = access.form_token(&visitor);
    assert_eq!(access.check_form(&visitor, &token), Ok(()));
    for wrong in ["", "x", &token[1..], &blake3::hash(b"x").to_hex()] {
        assert_eq!(access.check_form(&visitor, wrong), Err(Refusal::CrossSite), "{wrong}");
    }
}

#[test]
fn a_short_token_is_refused_and_a_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let config = config::Admin { token_file: Some(file.clone()), ..config::Admin::default() };
    let access = Access::new(&config, None).unwrap();
    let bearer = format!("Bearer {TOKEN}");
    assert!(look(&access, &[("host", "localhost"), ("authorization", &bearer)], NOW).is_ok());
    assert_eq!(
        look(&access, &[("host", "localhost")], NOW).unwrap_err(),
        Refusal::Login,
        "a token that is set is asked for"
    );
    assert!(matches!(Access::new(&config, Some("short".into())), Err(TokenError::Short)));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(Access::new(&config, None), Err(TokenError::Read { path, .. }) if path == file));
}
