//! The parts of a URL that `wasi:http` wants. The host parses it again, in full, before it allows
//! it.

/// A URL in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) https: bool,
    /// Host and port, as given.
    pub(crate) authority: String,
    /// Begins with a slash.
    pub(crate) path_and_query: String,
}

impl Url {
    /// The URL in parts, or why it is none. The reason does not repeat the URL, which can hold a
    /// secret.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme: write https://host/path")?;
        let https = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err("the URL's scheme is neither https nor http".to_owned()),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err("the URL has no host".to_owned());
        }
        if authority.contains('@') {
            return Err("the URL has a user name or password in it: send them in a header".to_owned());
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the URL has characters in it that must be percent-encoded".to_owned());
        }
        let path_and_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { https, authority: authority.to_owned(), path_and_query })
    }

    /// The host without its port, in lower case: the name of the dependency that it is.
    pub(crate) fn host(&self) -> String {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            Some(_) | None => &self.authority,
        };
        host.trim_end_matches('.').to_ascii_lowercase()
    }

    /// The URL without its query, which can hold a secret.
    pub(crate) fn without_query(&self) -> String {
        let path = self.path_and_query.split_once('?').map_or(&*self.path_and_query, |(path, _)| path);
        format!("{}://{}{path}", self.scheme(), self.authority)
    }

    /// The whole URL again.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn whole(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, self.path_and_query)
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_falls_into_its_parts() {
        #[track_caller]
        fn check(url: &str, whole: &str, without_query: &str, host: &str) {
            let url = Url::parse(url).expect("a URL");
            assert_eq!((&*url.whole(), &*url.without_query(), &*url.host()), (whole, without_query, host));
        }
        check("https://A.example", "https://A.example/", "https://A.example/", "a.example");
        check("HTTP://a.example:80/b?c#d", "http://a.example:80/b?c", "http://a.example:80/b", "a.example");
        check("https://a.example.?k=v", "https://a.example./?k=v", "https://a.example./", "a.example");
        check("http://[::1]:8080/x", "http://[::1]:8080/x", "http://[::1]:8080/x", "[::1]");
    }

    #[test]
    fn what_is_no_url_says_why() {
        #[track_caller]
        fn check(url: &str, expect: &str) {
            let error = Url::parse(url).expect_err("no URL");
            assert!(error.contains(expect), "{url}: {error}");
        }
        check("a.example/b", "no scheme");
        check("ftp://a.example", "neither https nor http");
        check("https:///b", "no host");
        check("https://me:secret@a.example/", "in a header");
        check("https://a.example/b c", "percent-encoded");
        check("https://a.example/ü", "percent-encoded");
        check("https://a.example/\r\nX: y", "percent-encoded");
    }
}
