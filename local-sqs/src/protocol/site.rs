//! Which senders may call by the Query protocol. A web page of any site can make a browser send a
//! form, or load a URL, without asking the server first; AWS JSON's header takes a preflight, which
//! is never granted here. `query` refuses such calls by what browsers say of them.

use http::{HeaderMap, HeaderName, header, request::Parts};

use super::super::error::{Code, SqsError, SqsResult};

/// Refuses what a page of another site has a browser send. What says nothing is no browser, or a
/// bare GET of one over plain HTTP to another machine than its own: no server can tell those apart.
///
/// # Errors
/// `AccessDenied`.
pub fn check(head: &Parts) -> SqsResult<()> {
    let host = text(&head.headers, &header::HOST).unwrap_or_default();
    let is_site = head.headers.get("sec-fetch-site").is_none_or(|site| site == "none" || site == "same-origin");
    let is_origin = !head.headers.contains_key(header::ORIGIN)
        || text(&head.headers, &header::ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    if is_site && is_origin {
        return Ok(());
    }
    let message = "A web page of another site made this request (by its headers Origin and Sec-Fetch-Site). Call this \
                   endpoint from a program, or from a page of this host.";
    Err(SqsError::new(Code::AccessDenied, message))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
