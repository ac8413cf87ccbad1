//! `gust config diff …`: what a reload would do, before it is done.

use super::access::{Access, FLAGS};
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
    Server(Box<Access>),
}

/// The help text.
#[must_use]
pub fn usage() -> String {
    format!("{USAGE}{FLAGS}")
}

const USAGE: &str = "
Usage: gust config diff [flags] <running file> <new file> [--json]
       gust config diff --server <url> [login] [--json]

Says what a reload would change, and what needs a restart, without doing it.
Ends with 0 if nothing needs a restart, 1 if something does, 2 if the files cannot
be loaded or the server cannot be asked.

    [flags]                  Those the server was started with: they win over both files
    --json                   A document for programs
    -h, --help               Show this text

Asking a server about the file it would read now, as a user of the system account:
    --server <url>           This server: nats:// or tls://host:port
";

/// Reads what follows `config`.
pub(super) fn parse(args: &[String]) -> CliOutcome {
    match request(args) {
        Ok(Some(request)) => CliOutcome::ConfigDiff(Box::new(request)),
        Ok(None) => CliOutcome::Print { stdout: usage(), stderr: String::new(), exit: 0 },
        Err(reason) => CliOutcome::Print {
            stdout: String::new(),
            stderr: format!("gust {PRODUCT_VERSION}: {reason}\n{}", usage()),
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
    if own.access.server.is_some() {
        return own.asked();
    }
    let (flags, words) = split(&own.rest)?;
    let Some(flags) = flags else { return Ok(None) };
    let between = match words.as_slice() {
        [old, new] => {
            let side = |file: &String| CliOptions {
                program: Program::Gust.name().to_owned(),
                config_file: Some(file.clone()),
                check_config: false,
                flags: flags.clone(),
            };
            Between::Files(Box::new([side(old), side(new)]))
        }
        _ => return Err("name two files, or a server with --server".to_owned()),
    };
    Ok(Some(DiffRequest { between, json: own.json }))
}

/// The flags of this command, and all other arguments.
#[derive(Default)]
struct Own {
    json: bool,
    access: Access,
    rest: Vec<String>,
}

impl Own {
    /// Flags of the login are known only beside `--server`: some have a name of the server's own
    /// flags, which files are compared under.
    fn take(args: &[String]) -> Result<Own, String> {
        let (mut own, asks) = (Own::default(), args.iter().any(|arg| named(arg).0 == "server"));
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (flag, given) = named(arg);
            let slot = match flag {
                "json" => {
                    own.json = true;
                    continue;
                }
                "tlsfirst" if asks => {
                    own.access.tls_first = true;
                    continue;
                }
                _ if asks => own.access.slot(flag),
                _ => None,
            };
            let Some(slot) = slot else {
                own.rest.push(arg.clone());
                continue;
            };
            let value = given.map(str::to_owned).or_else(|| args.next().cloned());
            *slot = Some(value.ok_or_else(|| format!("{arg} needs a value"))?);
        }
        Ok(own)
    }

    /// What is asked of a server.
    fn asked(self) -> Result<Option<DiffRequest>, String> {
        match self.rest.first().map(String::as_str) {
            Some("-h" | "--help") => return Ok(None),
            Some(flag) if flag.starts_with('-') => {
                return Err(format!("there is no flag {flag:?}"));
            }
            Some(_) => {
                return Err("--server takes no files: the server knows its own".to_owned());
            }
            None => self.access.check()?,
        }
        Ok(Some(DiffRequest { between: Between::Server(Box::new(self.access)), json: self.json }))
    }
}

/// Name of the flag and the value behind `=`; an empty name: no flag.
fn named(arg: &str) -> (&str, Option<&str>) {
    let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or_default();
    match flag.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        None => (flag, None),
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
        let line = "diff --server tls://h:1 --creds=f --tlsca ca --tlsfirst --json";
        let access = Access {
            server: Some("tls://h:1".to_owned()),
            creds: Some("f".to_owned()),
            tls_ca: Some("ca".to_owned()),
            tls_first: true,
            ..Access::default()
        };
        let request = DiffRequest { between: Between::Server(Box::new(access)), json: true };
        assert_eq!(asked(line), Ok(Some(request)));
        assert_eq!(asked("diff --server h --help"), Ok(None));
        // Without --server the names are those of the server's own flags.
        assert!(matches!(
            asked("diff --user a --pass b --tlscert c x y").unwrap().unwrap().between,
            Between::Files(_)
        ));
    }

    #[test]
    fn mistakes() {
        assert_eq!(asked(""), Ok(None));
        assert_eq!(asked("diff --help"), Ok(None));
        for line in [
            "merge",
            "diff",
            "diff a",
            "diff a b c",
            "diff --server",
            "diff --server u a b",
            "diff --server u --frob",
            "diff --server u --user a --token b",
            "diff --server u --tlskey k",
        ] {
            assert!(asked(line).is_err(), "{line}");
        }
        assert!(asked("diff --nonsense a b").is_err());
        assert!(asked("diff -c a b c").is_err());
    }
}
