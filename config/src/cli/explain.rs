//! `gust auth explain …`: why somebody may or may not publish or subscribe.

use super::access::{Access, FLAGS};
use super::{CliOutcome, PRODUCT_VERSION};

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainRequest {
    /// `-c`: decide by this configuration.
    pub config_file: Option<String>,
    /// The server to ask, and who one is. With `config_file`, only `user`, `nkey` (here the
    /// public key), `creds` and `jwt` are used.
    pub access: Access,
    /// `--account`: name or public key.
    pub account: Option<String>,
    /// `pub` and not `sub`.
    pub publish: bool,
    /// Subject.
    pub subject: String,
    /// `--queue`
    pub queue: Option<String>,
}

/// The help text.
#[must_use]
pub fn usage() -> String {
    format!("{USAGE}{FLAGS}")
}

const USAGE: &str = "
Usage: gust auth explain -c <file> [who] (pub|sub) <subject> [options]
       gust auth explain --server <url> [who] (pub|sub) <subject> [options]

Says whether somebody may publish or subscribe, which rule decides, what mappings
do to the subject before, and which accounts a message crosses to.
Ends with 0 if it is allowed, 1 if it is denied, 2 if that cannot be told.

Who (nobody: who connects without credentials):
    -u, --user <name>        User of the configuration
    --nkey <key>             User with this public key
    --creds <file>           User with this creds file (operator mode)
    --jwt <file>             User with this token, without its key
    --account <name>         Anybody in this account without permissions of their own

Options:
    -c, --config <file>      Decide by this configuration file
    --queue <name>           Queue group of the subscription
    -h, --help               Show this text

Asking a server:
    --server <url>           Ask this server (nats:// or tls://host:port) who one is;
                             mappings, imports and exports are then not known
";

/// Reads what follows `auth`.
pub(super) fn parse(args: &[String]) -> CliOutcome {
    match request(args) {
        Ok(Some(request)) => CliOutcome::Explain(Box::new(request)),
        Ok(None) => CliOutcome::Print { stdout: usage(), stderr: String::new(), exit: 0 },
        Err(reason) => CliOutcome::Print {
            stdout: String::new(),
            stderr: format!("gust {PRODUCT_VERSION}: {reason}\n{}", usage()),
            exit: 2,
        },
    }
}

/// `None`: help is wanted.
fn request(args: &[String]) -> Result<Option<ExplainRequest>, String> {
    let mut args = args.iter();
    match args.next().map(String::as_str) {
        Some("explain") => {}
        None | Some("help" | "-h" | "--help") => return Ok(None),
        Some(other) => return Err(format!("auth knows no command {other:?}, only explain")),
    }
    let (mut request, mut words) = (ExplainRequest::default(), Vec::new());
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            words.push(arg.as_str());
            continue;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (flag, given) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (flag, None),
        };
        let slot = match flag {
            "h" | "help" => return Ok(None),
            "tlsfirst" => {
                request.access.tls_first = true;
                continue;
            }
            "c" | "config" => &mut request.config_file,
            "account" => &mut request.account,
            "queue" => &mut request.queue,
            _ => request.access.slot(flag).ok_or_else(|| format!("there is no flag {arg:?}"))?,
        };
        let value = given.or_else(|| args.next().cloned());
        *slot = Some(value.ok_or_else(|| format!("{arg} needs a value"))?);
    }
    let (action, subject) = match words.as_slice() {
        [action, subject] => (*action, *subject),
        _ => return Err("say pub or sub, and a subject".to_owned()),
    };
    request.publish = match action {
        "pub" | "publish" => true,
        "sub" | "subscribe" => false,
        other => return Err(format!("say pub or sub instead of {other:?}")),
    };
    request.subject = subject.to_owned();
    check(&request)?;
    Ok(Some(request))
}

fn check(request: &ExplainRequest) -> Result<(), String> {
    let fail = |reason: &str| Err(reason.to_owned());
    if request.config_file.is_some() == request.access.server.is_some() {
        return fail("give either -c with a configuration or --server");
    }
    request.access.check()?;
    if request.publish && request.queue.is_some() {
        return fail("--queue is for sub only");
    }
    if request.access.server.is_some() && request.account.is_some() {
        return fail(
            "--server needs a login (--creds, --nkey, --user or --token) and no --account",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<ExplainRequest>, String> {
        request(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn requests() {
        let r = of("explain -c f --user=a pub x.y").unwrap().unwrap();
        assert_eq!((r.config_file.as_deref(), r.access.user.as_deref()), (Some("f"), Some("a")));
        assert!(r.publish && r.subject == "x.y" && r.queue.is_none());
        let r = of("explain sub x --queue q --server nats://h --creds k").unwrap().unwrap();
        assert!(!r.publish && r.queue.as_deref() == Some("q") && r.access.creds.is_some());
        assert_eq!(of("explain --help"), Ok(None));
        for (line, why) in [
            ("what", "only explain"),
            ("explain -c f", "say pub or sub"),
            ("explain -c f pub", "say pub or sub"),
            ("explain -c f see x", "instead of"),
            ("explain pub x", "either -c"),
            ("explain -c f --server s pub x", "either -c"),
            ("explain -c f --user a --nkey b pub x", "only one"),
            ("explain -c f --queue q pub x", "for sub only"),
            ("explain -c f pub x --frob", "no flag"),
            ("explain pub x -c", "needs a value"),
            ("explain --server s --account k pub x", "needs a login"),
            ("explain -c f --password k pub x", "--password is for asking a --server"),
            ("explain --server s --tlscert k pub x", "need each other"),
        ] {
            let got = of(line).unwrap_err();
            assert!(got.contains(why), "{line}: {got}");
        }
    }
}
