//! Hides secrets of a command line before anything shows it (`/varz`, logs, crash reports).

/// The arguments with user, password and token replaced, and logins in URLs hidden.
#[must_use]
pub fn redact_args(args: &[String]) -> Vec<String> {
    let mut shown = Vec::with_capacity(args.len());
    let mut pending: Option<fn(&str) -> String> = None;
    for arg in args {
        if let Some(hide) = pending.take() {
            shown.push(hide(arg));
            continue;
        }
        let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or_default();
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let hide: Option<fn(&str) -> String> = match name {
            "user" | "pass" | "password" | "auth" => Some(|_| "[REDACTED]".to_owned()),
            "routes" | "cluster" | "cluster_listen" | "server" => Some(redact_urls),
            _ => None,
        };
        match (hide, value) {
            (Some(hide), Some(value)) => {
                let flag = arg.strip_suffix(value).unwrap_or_default();
                shown.push(format!("{flag}{}", hide(value)));
            }
            (hide, _) => {
                pending = hide;
                shown.push(arg.clone());
            }
        }
    }
    shown
}

/// Hides what stands before `@` in each of the URLs.
fn redact_urls(list: &str) -> String {
    let hide = |url: &str| match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://[REDACTED]@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    };
    list.split(',').map(hide).collect::<Vec<_>>().join(",")
}
