//! `gust config diff …`: what a reload would do, before it is done.

use super::flags::{self, Flags};
use super::{CliOptions, CliOutcome, PRODUCT_VERSION, Program};

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffRequest {
    /// Whom to ask, or what to compare.
    pub between: Between,
    /// Print a document instead of text.
    pub json: bool,
}

/// The two sides.
#[derive(Debug, Clone, PartialEq)]
pub enum Between {
    /// Two files, both under the flags the server runs with.
    Files(Box<[CliOptions; 2]>),
    /// What a server runs and the file it would read now.
    Server {
        /// `nats://[user:pass@]host:port` of a user of the system account.
        url: String,
        /// `--creds`: file with token and seed.
        creds: Option<String>,
    },
}

/// The help text.
pub const USAGE: &str = "
Usage: gust config diff [flags] <running file> <new file> [--json]
       gust config diff --server <url> [--creds <file>] [--json]

Says what a reload would change, and what needs a restart, without doing it.
Ends with 0 if nothing needs a restart, 1 if something does, 2 if the files cannot
be loaded or the server cannot be asked.

    [flags]           Those the server was started with: they win over both files
    --server <url>    Ask this server (nats://user:password@host:port, a user of the
                      system account) about the file it would read now
    --creds <file>    Credentials for the server instead (operator mode)
    --json            A document for programs
    -h, --help        Show this text
";

/// Reads what follows `config`.
pub(super) fn parse(args: &[String]) -> CliOutcome {
    match request(args) {
        Ok(Some(request)) => CliOutcome::ConfigDiff(Box::new(request)),
        Ok(None) => CliOutcome::Print { stdout: USAGE.to_owned(), stderr: String::new(), exit: 0 },
        Err(reason) => CliOutcome::Print {
            stdout: String::new(),
            stderr: format!("gust {PRODUCT_VERSION}: {reason}\n{USAGE}"),
            exit: 2,
        },
    }
}

/// `None`: help is wanted.
fn request(args: &[String]) -> Result<Option<DiffRequest>, String> {
    let args = match args {
        [command, rest @ ..] if command == "diff" => rest,
        [] => return Ok(None),
        [word, ..] if matches!(word.as_str(), "help" | "-h" | "--help") => return Ok(None),
        [word, ..] => return Err(format!("config knows no command {word:?}, only diff")),
    };
    let own = Own::take(args)?;
    let (flags, words) = split(&own.rest)?;
    let Some(flags) = flags else { return Ok(None) };
    let between = match (own.server, words.as_slice()) {
        (Some(url), []) => Between::Server { url, creds: own.creds },
        (Some(_), _) => return Err("--server takes no files: the server knows its own".to_owned()),
        (None, [old, new]) => {
            let side = |file: &String| CliOptions {
                program: Program::Gust.name().to_owned(),
                config_file: Some(file.clone()),
                check_config: false,
                flags: flags.clone(),
            };
            Between::Files(Box::new([side(old), side(new)]))
        }
        (None, _) => return Err("name two files, or a server with --server".to_owned()),
    };
    Ok(Some(DiffRequest { between, json: own.json }))
}

/// The flags of this command, and all other arguments.
#[derive(Default)]
struct Own {
    json: bool,
    server: Option<String>,
    creds: Option<String>,
    rest: Vec<String>,
}

impl Own {
    fn take(args: &[String]) -> Result<Own, String> {
        let mut own = Own::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or_default();
            let (flag, given) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (flag, None),
            };
            let slot = match flag {
                "json" => {
                    own.json = true;
                    continue;
                }
                "server" => &mut own.server,
                "creds" => &mut own.creds,
                _ => {
                    own.rest.push(arg.clone());
                    continue;
                }
            };
            let value = given.or_else(|| args.next().cloned());
            *slot = Some(value.ok_or_else(|| format!("{arg} needs a value"))?);
        }
        Ok(own)
    }
}

/// The server's flags and the other words, in any order. No flags: help is wanted.
fn split(args: &[String]) -> Result<(Option<Flags>, Vec<String>), String> {
    let (mut of_server, mut words) = (Vec::new(), Vec::new());
    let mut left = args;
    while !left.is_empty() {
        let parsed = flags::parse(left).map_err(|e| e.0)?;
        let (taken, rest) = left.split_at(left.len() - parsed.rest.len());
        of_server.extend_from_slice(taken);
        left = match rest {
            [word, after @ ..] => {
                words.push(word.clone());
                after
            }
            [] => rest,
        };
    }
    let parsed = flags::parse(&of_server).map_err(|e| e.0)?;
    if parsed.config_file.is_some() {
        return Err("name both files without -c".to_owned());
    }
    Ok(((!parsed.help).then_some(parsed.flags), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Option<DiffRequest>, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        request(&args)
    }

    #[test]
    fn files_and_flags_in_any_order() {
        for line in [
            "diff -p 5 --name x a.conf b.conf --json",
            "diff a.conf -p 5 b.conf --json --name=x",
            "diff --json a.conf b.conf -p=5 -n x",
        ] {
            let request = asked(line).unwrap().unwrap();
            assert!(request.json);
            let Between::Files(sides) = request.between else { panic!("{line}") };
            let [old, new] = *sides;
            assert_eq!(old.config_file.as_deref(), Some("a.conf"), "{line}");
            assert_eq!(new.config_file.as_deref(), Some("b.conf"), "{line}");
            assert_eq!((new.flags.port, new.flags.name.as_deref()), (Some(5), Some("x")));
            assert_eq!(old.flags, new.flags);
        }
    }

    #[test]
    fn servers() {
        let request = asked("diff --server nats://s:p@h:1 --creds f").unwrap().unwrap();
        let between =
            Between::Server { url: "nats://s:p@h:1".to_owned(), creds: Some("f".to_owned()) };
        assert_eq!(request, DiffRequest { between, json: false });
    }

    #[test]
    fn mistakes() {
        assert_eq!(asked(""), Ok(None));
        assert_eq!(asked("diff --help"), Ok(None));
        for line in
            ["merge", "diff", "diff a", "diff a b c", "diff --server", "diff --server u a b"]
        {
            assert!(asked(line).is_err(), "{line}");
        }
        assert!(asked("diff --nonsense a b").is_err());
        assert!(asked("diff -c a b c").is_err());
    }
}
