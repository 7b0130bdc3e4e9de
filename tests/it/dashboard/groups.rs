//! The pages about groups: who is missing, to whom they are shown, and that names are text.

use serde_json::{Value, json};
use wasq::groups::{EndState, OnFailure};
use wasq_ledgers::local::LocalLedger;

use super::{Client, HOSTILE, TOKEN, open};
use crate::support::groups::{end, make};
use crate::support::{Faulty, Setup, Trouble};

/// The rows of the table behind a heading.
fn rows<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let section = page.split(&format!("<h2>{heading}</h2>")).nth(1).expect("the page has it");
    let table = section.split("<h2>").next().and_then(|section| section.split("<tbody>").nth(1));
    let rows = table.and_then(|table| table.split("</tbody>").next()).unwrap_or_default();
    rows.split("<tr>").skip(1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_shows_what_is_missing_and_its_members_page_by_page() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    let empty = client.get("/dashboard/groups").await;
    assert!(empty.status == 200 && empty.body.contains("No groups."), "{}", empty.body);
    let members = make(&rig, "probe/a b/c", "encode", 120, Some(OnFailure::Wait)).await;
    for member in &members[..114] {
        end(&rig, member, EndState::Done, "a result that nobody is shown").await;
    }
    end(&rig, &members[114], EndState::DeadLettered, "no such codec").await;
    end(&rig, &members[115], EndState::Discarded, "not needed").await;

    let list = client.get("/dashboard/groups").await;
    assert!(list.body.contains("encode to jobs, not sent yet") && list.body.contains("aria-current=\"page\">Groups"));
    let group = client.get(&list.link("/groups/group?")).await;
    assert_eq!(group.status, 200, "{}", group.body);
    let missing = rows(&group.body, "Missing");
    assert_eq!(missing.len(), 5, "{missing:?}");
    assert!(missing[..4].iter().all(|row| row.contains(">open<")), "{missing:?}");
    assert!(missing[4].contains(">dead-lettered<") && missing[4].contains("no such codec"), "{missing:?}");
    assert_eq!(rows(&group.body, "Members").len(), 100);
    let rest = client.get(&group.link("first=100")).await;
    assert_eq!(rows(&rest.body, "Members").len(), 20);
    assert!(rest.body.contains("101 to 120 of 120") && rest.body.contains("not needed"), "{}", rest.body);
    for page in [&list, &group, &rest] {
        assert!(!page.body.contains("nobody is shown"), "{}", page.body);
    }

    let unknown = client.get("/dashboard/groups/group?id=probe%2Fnone").await;
    assert!(unknown.status == 404 && unknown.body.contains("there is no group"), "{}", unknown.body);
    // Far behind the last member.
    assert_eq!(client.get("/dashboard/groups/group?id=probe%2Fa+b%2Fc&first=4294967295").await.status, 200);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_groups_than_a_page_has_are_on_the_next_one() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    for n in 0..101 {
        make(&rig, &format!("probe/{n:03}&"), "x", 1, None).await;
    }
    let first = client.get("/dashboard/groups").await;
    assert!(first.body.contains("probe/099&amp;") && !first.body.contains("probe/100"), "{}", first.body);
    let next = client.get(&first.link("after=")).await;
    assert!(next.body.contains("probe/100&amp;") && !next.body.contains("after="), "{}", next.body);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_names_is_shown_as_text() {
    let rig = Setup::probe().start().await;
    let client = Client::of(&rig);
    let id = format!("probe/{HOSTILE}");
    let members = make(&rig, &id, HOSTILE, 2, Some(OnFailure::Send)).await;
    end(&rig, &members[0], EndState::DeadLettered, HOSTILE).await;
    let list = client.get("/dashboard/groups").await;
    let group = client.get(&list.link("/groups/group?")).await;
    let unknown = format!("/dashboard/groups/group?id={}", "%3Cscript%3Ealert(1)%3C/script%3E");
    let unknown = client.get(&unknown).await;
    for (page, status) in [(list, 200), (group, 200), (unknown, 404)] {
        assert_eq!(page.status, status, "{}", page.body);
        assert!(!page.body.contains("<script>") && !page.body.contains("<img src=x"), "{}", page.body);
        assert!(page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{}", page.body);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_for_those_who_may_see_letters() {
    let rig = open(Setup::probe(), None).start().await;
    make(&rig, "probe/video", "x", 1, None).await;
    let client = Client::of(&rig).with("host", "wasq.example");
    let inside = client.with("authorization", format!("Bearer {TOKEN}"));
    for path in ["/groups", "/groups/probe%2Fvideo"] {
        let asked = client.get(path).await;
        assert!(asked.status == 401 && !asked.body.contains("video"), "{path}: {}", asked.body);
        let elsewhere = inside.with("sec-fetch-site", "cross-site").get(path).await;
        assert!(elsewhere.status == 403 && !elsewhere.body.contains("video"), "{path}: {}", elsewhere.body);
        assert!(inside.get(path).await.body.contains("probe/video"), "{path}");
    }
    for path in ["/dashboard/groups", "/dashboard/groups/group?id=probe/video"] {
        assert_eq!(client.get(path).await.status, 303, "{path} leads to the login");
        assert!(inside.get(path).await.body.contains("video"), "{path}");
    }
    // A slash of the id may stand as it is.
    let answer = inside.get("/groups/probe/video?first=1").await;
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(
        (&answer["group"]["members"], &answer["members"], &answer["next"]),
        (&json!(1), &json!([]), &Value::Null)
    );
    let unknown = inside.get("/groups/probe/none").await;
    assert!(unknown.status == 404 && unknown.body.contains("there is no group `probe/none`"), "{}", unknown.body);
    assert_eq!(inside.get("/groups/probe/video?first=x").await.status, 400);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_keeps_no_groups_is_said() {
    let mut rig = Setup::probe().without_host().await;
    rig.start_on(Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::None)).await;
    let client = Client::of(&rig);
    let pages =
        [("/groups", 503), ("/groups/a/b", 503), ("/dashboard/groups", 200), ("/dashboard/groups/group?id=a/b", 503)];
    for (path, status) in pages {
        let answer = client.get(path).await;
        let is_said = answer.body.contains("the ledger keeps no groups");
        assert!(answer.status == status && is_said, "{path}: {}", answer.body);
    }
    rig.end().await;
}
