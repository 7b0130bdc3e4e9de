//! The dashboard over HTTP: who may look, who may act, what a browser is told, and that no text of
//! a stranger becomes markup.

mod browser;
mod groups;
mod letters;
mod port;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::binary::wasq;
use crate::support::{Plugin, Rig, Setup, until};

const TOKEN: &str = "a token of enough characters";
/// What would run if it were not escaped.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// An answer, and what a test looks at in it.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// A browser of few words: a host, and what it sends along.
struct Client {
    addr: SocketAddr,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    fn of(rig: &Rig) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, rig.host().admin_addr().port()));
        Self { addr, headers: vec![("host", addr.to_string())] }
    }

    fn with(&self, name: &'static str, value: impl ToString) -> Self {
        let others = self.headers.iter().filter(|(other, _)| *other != name).cloned();
        Self { addr: self.addr, headers: others.chain([(name, value.to_string())]).collect() }
    }

    async fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}connection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "text/plain", "").await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        self.ask("POST", path, "application/x-www-form-urlencoded", &body.finish()).await
    }

    /// What the forms of the control page carry.
    async fn form_token(&self) -> String {
        self.get("/dashboard/control").await.value_of("form_token")
    }
}

impl Answer {
    /// A hidden field's value.
    fn value_of(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.body.split(&start).nth(1).unwrap_or_else(|| panic!("no field {name} in {}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }

    fn link(&self, part: &str) -> String {
        let links = self.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let found = links.into_iter().find(|href| href.contains(part));
        found.unwrap_or_else(|| panic!("no link with {part} in {}", self.body)).replace("&amp;", "&")
    }
}

/// A rig whose host listens on all addresses, as in a container.
fn open(setup: Setup, actions: Option<bool>) -> Setup {
    setup.config(move |config| {
        let file = config.plugins_dir.parent().unwrap().join("token");
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        config.admin.listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        config.admin.token_file = Some(file);
        config.admin.actions = actions;
    })
}

const PAUSE: [(&str, &str); 4] = [("what", "type"), ("name", "probe"), ("for", "1h"), ("by", "ada")];

fn paused(rig: &Rig) -> usize {
    rig.services().pauses.current(wasq_core::clock::unix_ms()).len()
}

#[tokio::test]
async fn every_page_is_there_and_tells_browsers_what_they_may_not() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    rig.send(json!({ "do": "reject", "reason": "no such order" })).await;
    rig.until_exits("reject", 1).await;
    assert_eq!(client.get("/").await.status, 303);
    for path in [
        "",
        "?window=1h",
        "/plugins",
        "/control",
        "/live",
        "/live?only=failures",
        "/letters",
        "/letters/jobs",
        "/groups",
        "/login",
    ] {
        let page = client.get(&format!("/dashboard{path}")).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(page.head.contains(header), "{path} has no {header}: {}", page.head);
        }
        // The policy allows none of these, and the pages hold none.
        for inline in ["<style", "style=\"", "<script>", "onclick", "javascript:", "http://", "https://"] {
            let at = page.body.find(inline).map(|at| &page.body[at..(at + 80).min(page.body.len())]);
            // A plugin's grants name the hosts that it may call.
            assert!(at.is_none() || (inline == "http://" && path == "/plugins"), "{path} has {inline}: {at:?}");
        }
    }
    for asset in ["dashboard.js", "dashboard.css", "icon.svg"] {
        assert_eq!(client.get(&format!("/assets/{asset}")).await.status, 200);
    }
    assert_eq!(client.get("/dashboard/letters/nowhere").await.status, 404);
    for path in ["/livez", "/readyz", "/metrics", "/status", "/plugins", "/pauses", "/groups"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    rig.end().await;
}

#[tokio::test]
async fn what_strangers_have_written_is_shown_as_text() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    rig.message(json!({ "do": "done", "note": HOSTILE })).kind(HOSTILE).send().await;
    rig.until_exits("unroutable", 1).await;
    rig.message(json!({ "do": "reject", "reason": HOSTILE, "note": HOSTILE })).attribute("x", HOSTILE).send().await;
    rig.until_exits("reject", 1).await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    let form_token = client.form_token().await;
    let form = [("form_token", form_token.as_str()), ("what", "type"), ("name", HOSTILE), ("for", ""), ("by", HOSTILE)];
    assert_eq!(client.post("/dashboard/pause", &form).await.status, 303);

    let groups = client.get("/dashboard/letters/jobs").await;
    let group = client.get(&groups.link("/group?")).await;
    let letter = client.get(&group.link("/letter?")).await;
    let others = ["", "/plugins", "/control", "/live?only=failures"];
    let mut pages = vec![groups, group, letter];
    for path in others {
        pages.push(client.get(&format!("/dashboard{path}")).await);
    }
    for page in &pages {
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<script>") && !page.body.contains("<img src=x"), "{}", page.body);
    }
    let shown = pages.iter().filter(|page| page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;")).count();
    assert!(shown >= 6, "it is shown, on {shown} pages");
    rig.end().await;
}

#[tokio::test]
async fn another_site_cannot_act_nor_look() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    let form_token = client.form_token().await;
    let mut form = vec![("form_token", form_token.as_str())];
    form.extend(PAUSE);
    let own = format!("http://{}", client.addr);
    // A form of another site; one without our token, or with a wrong one; by a name that leads here
    // from the outside.
    let refused = [
        (client.with("origin", "http://evil.example"), form.clone(), 403),
        (client.with("origin", "null"), form.clone(), 403),
        (client.with("sec-fetch-site", "cross-site"), form.clone(), 403),
        (client.with("sec-fetch-site", "same-site"), form.clone(), 403),
        (client.with("origin", &own), form[1..].to_vec(), 400),
        (client.with("origin", &own), [&[("form_token", "0")], &form[1..]].concat(), 403),
        (client.with("host", "evil.example"), form.clone(), 421),
    ];
    for (client, form, status) in refused {
        let answer = client.post("/dashboard/pause", &form).await;
        assert_eq!((answer.status, paused(&rig)), (status, 0), "{:?} {form:?}", client.headers);
    }
    assert_eq!(client.with("host", "evil.example:9325").get("/dashboard").await.status, 421);
    // The scripts' way takes JSON alone, which a form cannot send.
    let asked = json!({ "target": "type:probe", "by": "ada" }).to_string();
    assert_eq!(client.ask("POST", "/pauses", "text/plain", &asked).await.status, 403);
    assert_eq!(
        client.with("origin", "http://evil.example").ask("POST", "/pauses", "application/json", &asked).await.status,
        403
    );
    assert_eq!(paused(&rig), 0);
    assert_eq!(client.get("/dashboard/pause").await.status, 405, "a link does nothing");

    let answer =
        client.with("origin", &own).with("sec-fetch-site", "same-origin").post("/dashboard/pause", &form).await;
    assert_eq!((answer.status, paused(&rig)), (303, 1), "{}", answer.body);
    rig.end().await;
}

#[tokio::test]
async fn elsewhere_than_on_loopback_it_takes_the_token_and_is_read_only() {
    let rig = open(Setup::probe(), None).start().await;
    let client = Client::of(&rig).with("host", "wasq.example");
    let asked = client.get("/dashboard").await;
    assert!(asked.status == 303 && asked.head.contains("location: /dashboard/login"), "{}", asked.head);
    assert_eq!(client.get("/dashboard/letters/jobs").await.status, 303);
    assert_eq!(client.post("/dashboard/login", &[("token", "wrong")]).await.status, 403);
    assert_eq!(
        client.with("origin", "http://evil.example").post("/dashboard/login", &[("token", TOKEN)]).await.status,
        403
    );
    let welcome = client.post("/dashboard/login", &[("token", TOKEN)]).await;
    assert_eq!(welcome.status, 303);
    assert!(!welcome.head.contains(TOKEN), "{}", welcome.head);
    let cookie = welcome.head.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let inside = client.with("cookie", &cookie);

    let page = inside.get("/dashboard/control").await;
    assert!(
        page.status == 200 && page.body.contains("read-only") && !page.body.contains("form_token"),
        "{}",
        page.body
    );
    assert_eq!(inside.post("/dashboard/pause", &[&[("form_token", "x")][..], &PAUSE].concat()).await.status, 403);
    let asked = json!({ "target": "type:probe", "by": "ada" }).to_string();
    assert_eq!(client.ask("POST", "/pauses", "application/json", &asked).await.status, 401);
    let admin = client.addr.to_string();
    wasq(["pause", "probe", "--admin", &admin]).check(1, &["401", "WASQ_ADMIN_TOKEN"]).await;
    wasq(["pause", "probe", "--admin", &admin])
        .env("WASQ_ADMIN_TOKEN", TOKEN)
        .check(1, &["403", "admin.actions = true"])
        .await;
    assert_eq!(paused(&rig), 0);
    let profile = || wasq(["profile", "probe", "--admin", &admin]);
    profile().check(1, &["401", "WASQ_ADMIN_TOKEN"]).await;
    profile().env("WASQ_ADMIN_TOKEN", TOKEN).check(1, &["403", "admin.actions = true"]).await;
    assert_eq!(
        (client.get("/profiles/probe").await.status, client.get("/profiles/probe/svg").await.status),
        (401, 401)
    );
    // Probes and scrapes need no token.
    assert_eq!(client.get("/readyz").await.status, 200);
    rig.end().await;
}

#[tokio::test]
async fn elsewhere_it_acts_where_the_config_allows_it() {
    let rig = open(Setup::probe(), Some(true)).start().await;
    let client = Client::of(&rig);
    let admin = client.addr.to_string();
    wasq(["pause", "probe", "--admin", &admin]).env("WASQ_ADMIN_TOKEN", TOKEN).check(0, &["paused: type:probe"]).await;
    assert_eq!(paused(&rig), 1);
    let inside = client.with("authorization", format!("Bearer {TOKEN}"));
    let form_token = inside.form_token().await;
    let form = [("form_token", form_token.as_str()), ("target", "type:probe")];
    assert_eq!(client.post("/dashboard/resume", &form).await.status, 303);
    assert_eq!(paused(&rig), 1, "without the token it leads to the login");
    assert_eq!(inside.post("/dashboard/resume", &form).await.status, 303);
    assert_eq!(paused(&rig), 0);
    rig.end().await;
}

#[tokio::test]
async fn without_a_token_a_port_that_others_reach_shows_no_dashboard() {
    let setup = Setup::probe().config(|config| config.admin.listen = SocketAddr::from(([0, 0, 0, 0], 0)));
    let rig = setup.start().await;
    let client = Client::of(&rig);
    for path in ["/dashboard", "/dashboard/letters/jobs"] {
        let answer = client.get(path).await;
        assert!(answer.status == 403 && answer.body.contains("WASQ_ADMIN_TOKEN"), "{}", answer.body);
    }
    assert_eq!(client.get("/livez").await.status, 200);
    rig.end().await;
}

#[tokio::test]
async fn groups_are_replayed_and_discarded_when_it_is_confirmed() {
    let rig = Setup::new().plugin(Plugin::probe("probe")).start().await;
    let client = Client::of(&rig);
    rig.sink.answers(
        "mail",
        [json!({ "do": "reject", "reason": "order 1" }), json!({ "do": "reject", "reason": "order 2" })],
    );
    for _ in 0..2 {
        rig.send(rig.sink.ask("mail")).await;
    }
    rig.send(json!({ "do": "panic", "message": "it broke" })).await;
    until("the letters are there", || async { rig.counts("jobs-dlq").await.0 == 3 }).await;

    let group = client.get(&client.get("/dashboard/letters/jobs").await.link("class=reject")).await;
    let field = |name: &str| group.value_of(name);
    let (token, kind, class, fingerprint) = (field("form_token"), field("type"), field("class"), field("fingerprint"));
    let form = [("form_token", token.as_str()), ("type", &kind), ("class", &class), ("fingerprint", &fingerprint)];
    let answer = client.post("/dashboard/letters/jobs/discard-group", &form).await;
    assert_eq!((answer.status, rig.counts("jobs-dlq").await.0), (400, 3), "it was not confirmed");
    let answer = client.post("/dashboard/letters/jobs/replay-group", &form).await;
    assert!(answer.head.contains("done=replayed&count=2"), "{}", answer.head);
    rig.until_exits("done", 2).await;
    assert_eq!(rig.counts("jobs-dlq").await.0, 1, "the other group stays");

    let group = client.get(&client.get("/dashboard/letters/jobs").await.link("class=trap")).await;
    let fingerprint = group.value_of("fingerprint");
    let form = [
        ("form_token", token.as_str()),
        ("type", &kind),
        ("class", "trap"),
        ("fingerprint", &fingerprint),
        ("sure", "yes"),
    ];
    let answer = client.post("/dashboard/letters/jobs/discard-group", &form).await;
    assert!(answer.head.contains("done=discarded&count=1"), "{}", answer.head);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn an_open_breaker_and_what_waits_for_it_are_shown() {
    let rig = Setup::probe().config(|config| config.limits.breaker_failures = 1).start().await;
    rig.send(json!({ "do": "unavailable", "dependency": "api.mail.example", "after_ms": 60_000 })).await;
    rig.until_exits("unavailable", 1).await;
    let page = Client::of(&rig).get("/dashboard/control").await;
    let row = page.body.split("api.mail.example").nth(1).expect("it is there").split("</tr>").next().unwrap();
    assert!(row.contains(">open<") && row.contains("in ") && row.contains("probe"), "{row}");
    rig.end().await;
}

/// Each action leaves a line that says who did what; reading leaves none.
#[tokio::test]
async fn every_action_is_in_the_audit_log() {
    let rig = Setup::probe().without_host().await;
    let config = crate::cli::config_file(
        &rig,
        "admin = { listen = '127.0.0.1:0' }",
        "[queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'",
    );
    let host = wasq(["run", "--config", config.to_str().unwrap()]).spawn();
    let admin = crate::support::hosts::admin_addr(&host).await;
    rig.send(json!({ "do": "reject", "reason": "no" })).await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    let client = Client { addr: admin, headers: vec![("host", admin.to_string())] };
    let group = client.get(&client.get("/dashboard/letters/jobs").await.link("/group?")).await;
    let letter = client.get(&group.link("/letter?")).await;
    let (token, id) = (letter.value_of("form_token"), letter.value_of("id"));
    let token = ("form_token", token.as_str());
    assert_eq!(client.post("/dashboard/pause", &[&[token][..], &PAUSE].concat()).await.status, 303);
    assert_eq!(client.post("/dashboard/resume", &[token, ("target", "type:probe")]).await.status, 303);
    let form = [token, ("id", id.as_str()), ("sure", "yes")];
    assert_eq!(client.post("/dashboard/letters/jobs/discard", &form).await.status, 303);
    for (action, what, who) in [
        ("pause", "type:probe", "by=\"ada\" from=\"127.0.0.1"),
        ("resume", "type:probe", "from=\"127.0.0.1"),
        ("discard", &id, "who=\"127.0.0.1"),
    ] {
        let line = host.line(&format!("action=\"{action}\"")).await;
        assert!(line.contains("audit") && line.contains(what) && line.contains(who), "{line}");
    }
    host.signal("TERM").await;
    assert_eq!(host.ends_within(Duration::from_secs(25)).await, Some(0));
    rig.end().await;
}
