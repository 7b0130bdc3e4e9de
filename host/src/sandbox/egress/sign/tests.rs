use std::path::Path;

use super::*;
use crate::config::Config;

const S3: &str = "https://s3.eu-west-1.amazonaws.com";
const DYNAMODB: &str = "https://dynamodb.eu-west-1.amazonaws.com";

/// What the plugin `p` signs by these lines for a destination.
fn signing(destination: &str, lines: &str) -> Signing {
    let text = format!("[queues.q]\n[plugins.p.sign.'{destination}']\n{lines}");
    let config = Config::parse(&text, Path::new("wasq.toml")).unwrap();
    Signing::new("p", config.sign_rules("p").unwrap(), &Identities::new(config.aws.clone()), &BodyRoom::new(0)).unwrap()
}

/// Whether a request is covered, else the words. It is canonical, as it is when it is checked.
fn check(signing: &Signing, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<(), String> {
    let target = Target::parse(url).unwrap();
    let request = http::Request::builder().method(method).uri(target.uri.clone());
    let request = headers.iter().fold(request, |with, (name, value)| with.header(*name, *value));
    let to = signing.of(&target).unwrap_or_else(|| panic!("{url} is not signed"));
    to.check(&url.parse().unwrap(), &request.body(()).unwrap().into_parts().0).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(got: Result<(), String>, expect: &[&str]) {
    let error = got.expect_err("it is refused");
    assert!(expect.iter().all(|part| error.contains(part)), "{error:?} has not all of {expect:?}");
}

#[test]
fn a_request_that_no_pattern_covers_is_refused_by_method_host_path_and_key() {
    let signing = signing(S3, "requests = ['GET /acme-in/*', 'PUT /acme-out/thumbs/*']");
    let ok = |method: &str, path: &str| check(&signing, method, &format!("{S3}{path}"), &[]).unwrap();
    ok("GET", "/acme-in/photo.png");
    ok("GET", "/acme-in/a%20b/ph%C3%B6to.png");
    ok("GET", "/acme-in/100%25");
    ok("GET", "/acme-in/a?response-content-type=image/png");
    ok("PUT", "/acme-out/thumbs/1?partNumber=2&uploadId=x");
    for (method, path) in [
        ("GET", "/acme-out/thumbs/1"),
        ("PUT", "/acme-in/photo.png"),
        ("DELETE", "/acme-in/photo.png"),
        ("HEAD", "/acme-in/photo.png"),
        ("GET", "/acme-in/"),
        ("GET", "/acme-in"),
        ("GET", "/acme-in%"),
        ("GET", "/acme-inside/x"),
        ("GET", "/"),
    ] {
        let at = format!("{method} s3.eu-west-1.amazonaws.com{path}:");
        let key = format!("plugins.p.sign.\"{S3}\".requests");
        refused(check(&signing, method, &format!("{S3}{path}"), &[]), &[&at, &key]);
    }
}

#[test]
fn a_path_that_can_be_read_as_another_is_covered_by_nothing() {
    let all = signing(S3, "requests = ['* /*']");
    let bucket = signing(S3, "requests = ['GET /acme-in/*']");
    for path in [
        "/acme-in/../secret/x",
        "/acme-in/%2e%2e/secret/x",
        "/acme-in/%2E./secret/x",
        "/acme-in/.%2e/secret/x",
        "/acme-in/./x",
        "/acme-in/x/..",
        "/acme-in/%2e%2e%2fsecret%2fx",
        "/acme-in/..%2fsecret",
        "/acme-in%2fx",
        "/acme-in/a%2Fb",
        "/acme-in//x",
        "//acme-in/x",
        "/acme-in/..%5csecret",
        "/acme-in/..\\secret",
        "/acme-in/%252e%252e/secret",
        "/acme-in/a%252fb",
        "/acme-in/a%00b",
    ] {
        for signing in [&all, &bucket] {
            refused(check(signing, "GET", &format!("{S3}{path}"), &[]), &["write the path plainly"]);
        }
    }
}

#[test]
fn what_reaches_further_than_its_path_is_let_through_by_name_alone() {
    let lines =
        "requests = ['GET /acme-in/*', 'GET /acme-in/', 'PUT /acme-in/t/*?tagging&x-amz-copy-source&X-Amz-Acl']";
    let signing = signing(S3, lines);
    let check =
        |method: &str, path: &str, headers: &[(&str, &str)]| check(&signing, method, &format!("{S3}{path}"), headers);
    check("GET", "/acme-in/?list-type=2&prefix=a/&delimiter=/&max-keys=9&start-after=b", &[]).unwrap();
    for query in [
        "acl",
        "policy",
        "tagging",
        "tagging=",
        "versioning",
        "versionId=1",
        "delete",
        "uploads",
        "torrent",
        "x-amz-acl=a",
    ] {
        let name = query.split('=').next().unwrap();
        for path in ["/acme-in/x", "/acme-in/"] {
            let named = format!("query parameter `{name}`");
            refused(check("GET", &format!("{path}?{query}"), &[]), &[&named, "after the pattern in plugins.p.sign."]);
            refused(check("GET", &format!("{path}?prefix=a&{query}"), &[]), &[&named]);
        }
    }
    // However a name is encoded.
    refused(check("GET", "/acme-in/x?%61cl", &[]), &["`acl`"]);
    refused(check("GET", "/acme-in/x?ACL", &[]), &["`ACL`"]);
    let put = "/acme-in/t/x";
    check("PUT", "/acme-in/t/x?tagging", &[]).unwrap();
    check("PUT", put, &[("x-amz-copy-source", "/secret/x"), ("x-amz-acl", "private"), ("x-amz-meta-a", "b")]).unwrap();
    let own = [("x-amz-checksum-crc32", "x"), ("x-amz-server-side-encryption", "AES256"), ("x-amz-date", "guest")];
    check("PUT", put, &own).unwrap();
    for header in [
        "x-amz-tagging",
        "x-amz-grant-read",
        "x-amz-object-lock-mode",
        "x-amz-website-redirect-location",
        "x-amz-rename-source",
        "x-amz-request-payer",
        "x-amz-of-tomorrow",
    ] {
        refused(check("PUT", put, &[(header, "x")]), &[&format!("header `{header}`")]);
    }
    refused(check("GET", "/acme-in/x", &[("x-amz-copy-source", "/secret/x")]), &["header `x-amz-copy-source`"]);
}

#[test]
fn of_other_services_a_query_does_not_count_and_a_rest_may_be_empty() {
    let signing = signing(DYNAMODB, "requests = ['POST /*']");
    check(&signing, "POST", &format!("{DYNAMODB}/?acl"), &[("x-amz-acl", "x")]).unwrap();
    refused(check(&signing, "GET", DYNAMODB, &[]), &["GET dynamodb.eu-west-1.amazonaws.com/:"]);
}

#[test]
fn a_target_is_that_of_a_json_call_and_can_be_no_other() {
    let signing = signing(DYNAMODB, "targets = ['DynamoDB_20120810.GetItem']");
    let get = ("x-amz-target", "DynamoDB_20120810.GetItem");
    let json = ("content-type", "application/x-amz-json-1.0");
    let check = |method: &str, query: &str, headers: &[(&str, &str)]| {
        check(&signing, method, &format!("{DYNAMODB}/{query}"), headers)
    };
    check("POST", "", &[get, json]).unwrap();
    let delete = ("x-amz-target", "DynamoDB_20120810.DeleteTable");
    refused(check("POST", "", &[delete, json]), &["DynamoDB_20120810.DeleteTable", "plugins.p.sign.", ".targets"]);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cbor = ("smithy-protocol", "rpc-v2-cbor");
    for (method, query, headers) in [
        ("POST", "", &[json] as &[_]),
        ("POST", "", &[get]),
        ("POST", "", &[get, form]),
        ("POST", "", &[get, json, form]),
        ("POST", "", &[get, delete, json]),
        ("POST", "", &[get, json, cbor]),
        ("POST", "?Action=DeleteTable", &[get, json]),
        ("GET", "", &[get, json]),
    ] {
        refused(check(method, query, headers), &["JSON calls alone"]);
    }
}

#[test]
fn the_rule_of_one_host_comes_before_that_of_a_wildcard() {
    let text = "[queues.q]\n[plugins.p.sign.'https://*.s3.eu-west-1.amazonaws.com']\nrequests = ['GET /*']\n\
                [plugins.p.sign.'https://acme.s3.eu-west-1.amazonaws.com']\nrequests = ['PUT /*']";
    let config = Config::parse(text, Path::new("wasq.toml")).unwrap();
    let signing =
        Signing::new("p", config.sign_rules("p").unwrap(), &Identities::new(config.aws.clone()), &BodyRoom::new(0))
            .unwrap();
    check(&signing, "GET", "https://other.s3.eu-west-1.amazonaws.com/x", &[]).unwrap();
    check(&signing, "PUT", "https://acme.s3.eu-west-1.amazonaws.com/x", &[]).unwrap();
    refused(check(&signing, "GET", "https://acme.s3.eu-west-1.amazonaws.com/x", &[]), &["//acme.s3."]);
    for other in [
        "http://acme.s3.eu-west-1.amazonaws.com/",
        "https://acme.s3.eu-west-1.amazonaws.com:8443/",
        "https://s3.eu-west-1.amazonaws.com/",
        "https://acme.s3.eu-west-2.amazonaws.com/",
    ] {
        assert!(signing.of(&Target::parse(other).unwrap()).is_none(), "{other}");
    }
}
