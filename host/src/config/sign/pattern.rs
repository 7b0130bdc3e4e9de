//! The patterns of requests that are signed: `METHOD /path`, `*` at the end for any rest, `?name`
//! for what it lets through beside.

use http::Method;

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPattern {
    /// None for any.
    method: Option<Method>,
    /// Without its `*`, as it is when decoded.
    path: String,
    has_rest: bool,
    /// Names of query parameters and headers.
    names: Vec<String>,
}

const FORM: &str = "write METHOD /path, such as \"GET /acme-in/*\"; the method is `*` or in capitals";
const PATH: &str = "a path begins with `/`, has `*` at its end or nowhere, and no empty or dot segment; write it as it is, not \
                    percent-encoded";
const NAMES: &str = "after `?` stand names alone, divided by `&`, such as \"GET /acme-in/*?tagging&versionId\"";
const NEVER_SENT: &str = "the host never sends this method";

impl RequestPattern {
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (method, rest) = text.split_once(' ').ok_or(FORM)?;
        let method = match method {
            "*" => None,
            "CONNECT" | "TRACE" => return Err(NEVER_SENT),
            name if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                Some(Method::from_bytes(name.as_bytes()).map_err(|_| FORM)?)
            }
            _ => return Err(FORM),
        };
        let (path, names) = match rest.split_once('?') {
            Some((path, names)) => (path, names.split('&').map(str::to_owned).collect()),
            None => (rest, Vec::new()),
        };
        let is_word = |name: &String| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !names.iter().all(is_word) {
            return Err(NAMES);
        }
        let (path, has_rest) = path.strip_suffix('*').map_or((path, false), |path| (path, true));
        let is_clean = |segment: &str| !matches!(segment, "." | "..");
        if !path.starts_with('/')
            || path.contains(['*', '%', '\\'])
            || path.contains("//")
            || path.chars().any(char::is_control)
            || !path.split('/').all(is_clean)
        {
            return Err(PATH);
        }
        Ok(Self { method, path: path.to_owned(), has_rest, names })
    }

    /// Whether it is about such a request. `path` is decoded. Where the rest may not be empty,
    /// `/bucket/*` is not about the bucket itself.
    pub fn covers(&self, method: &Method, path: &[u8], rest_may_be_empty: bool) -> bool {
        let path_matches = match (path.strip_prefix(self.path.as_bytes()), self.has_rest) {
            (Some(rest), true) => rest_may_be_empty || !rest.is_empty(),
            (Some(rest), false) => rest.is_empty(),
            (None, _) => false,
        };
        path_matches && self.method.as_ref().is_none_or(|own| own == method)
    }

    /// Whether it lets a query parameter through.
    pub fn names_query(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Whether it lets a header through.
    pub fn names_header(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_its_method_and_its_path() {
        let check = |pattern: &str, request: &str, expect: bool| {
            let (method, path) = request.split_once(' ').unwrap();
            let pattern = RequestPattern::parse(pattern).unwrap();
            let covers = pattern.covers(&method.parse().unwrap(), path.as_bytes(), false);
            assert_eq!(covers, expect, "{pattern:?} and {request}");
        };
        check("GET /acme-in/*", "GET /acme-in/a/b.png", true);
        check("GET /acme-in/*", "HEAD /acme-in/a", false);
        check("GET /acme-in/*", "GET /acme-in/", false);
        check("GET /acme-in/*", "GET /acme-in", false);
        check("GET /acme-in/*", "GET /acme-inside/a", false);
        check("GET /acme-in/a*", "GET /acme-in/abc", true);
        check("GET /acme-in/a", "GET /acme-in/a", true);
        check("GET /acme-in/a", "GET /acme-in/ab", false);
        check("GET /acme in/é*", "GET /acme in/éx", true);
        check("* /acme-in/*", "PATCH /acme-in/x", true);
        check("POST /", "POST /", true);
        check("POST /", "POST /x", false);
        check("POST /*", "POST /", false);
        assert!(RequestPattern::parse("POST /*").unwrap().covers(&Method::POST, b"/", true));
        let named = RequestPattern::parse("PUT /a/*?tagging&x-amz-acl").unwrap();
        assert!(named.names_query("tagging") && !named.names_query("Tagging") && named.names_header("X-Amz-Acl"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_rule() {
        for (text, expect) in [
            ("", FORM),
            ("/acme-in/*", FORM),
            ("get /acme-in/*", FORM),
            ("Get /x", FORM),
            (" /x", FORM),
            ("GET", FORM),
            ("CONNECT /", NEVER_SENT),
            ("TRACE /", NEVER_SENT),
            ("GET acme-in/*", PATH),
            ("GET  /acme-in/*", PATH),
            ("GET *", PATH),
            ("GET /acme-in/*/x", PATH),
            ("GET /*/x*", PATH),
            ("GET /a**", PATH),
            ("GET /a//b", PATH),
            ("GET /a/../b", PATH),
            ("GET /a/./*", PATH),
            ("GET /a/..", PATH),
            ("GET /a%20b", PATH),
            ("GET /a\\b", PATH),
            ("GET /a?", NAMES),
            ("GET /a?x=1", NAMES),
            ("GET /a?x&&y", NAMES),
            ("GET /a?x*", NAMES),
        ] {
            assert_eq!(RequestPattern::parse(text), Err(expect), "{text:?}");
        }
    }
}
