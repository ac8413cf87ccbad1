//! Whole configurations: the table of verdicts, samples, limits, and input that makes no sense.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::{ConfigErrors, LoadError, Loaded, load};

/// Files and environment of the table.
fn read(text: &str) -> Result<Loaded, ConfigErrors> {
    let files = HashMap::from([
        ("f.conf", text),
        ("inc.conf", "ping_max: 7\nbad1: 2\n"),
        ("inc2.conf", "user: a, pass: b\n"),
        ("sub/x.conf", "include y.conf\n"),
        ("sub/y.conf", "server_name: y\n"),
        ("loop.conf", "include loop.conf\n"),
    ]);
    let mut loader = |path: &str| {
        files
            .get(path)
            .map(|text| text.as_bytes().to_vec())
            .ok_or_else(|| LoadError::not_found(path))
    };
    let env = |name: &str| {
        let value = match name {
            "FOO" => "5",
            "BAR" => "$FOO",
            "CYC" => "$CYC",
            "LST" => "[a,b]",
            "TXT" => "hello",
            _ => return None,
        };
        Some(value.to_owned())
    };
    load("f.conf", &mut loader, &env)
}

/// What `-t` prints behind the program name, without the closing blank line.
fn verdict(text: &str) -> String {
    match read(text).and_then(|loaded| loaded.check().map(|()| loaded)) {
        Ok(loaded) => format!("configuration file f.conf is valid ({})", loaded.digest),
        Err(err) => err.to_string().trim_end_matches('\n').to_owned(),
    }
}

#[test]
fn every_verdict_of_the_table_holds() {
    let table = include_str!("verdicts.txt");
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in table.split("\n=== config\n").skip(1) {
        let (config, rest) = case.split_once("\n=== says\n").expect("a case has both parts");
        let said = rest.split("\n########").next().expect("split yields a first part");
        let got = verdict(config);
        count += 1;
        if got != said.trim_end_matches('\n') {
            wrong.push(format!("{config:?}\n  wanted {said:?}\n  got    {got:?}"));
        }
    }
    assert!(count > 150, "the table was not read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nesting_includes_and_copies_are_bounded() {
    let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(verdict(&deep), "Parse error on line 1: 'nested deeper than 64 levels'");
    assert!(verdict("include loop.conf\n").ends_with("includes nest deeper than 16 files"));
    let mut bomb = String::from("a0: [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        let copies = vec![format!("$a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: [{copies}]\n"));
    }
    assert!(verdict(&bomb).contains("more than 1000000 values"), "{}", verdict(&bomb));
}

#[test]
fn a_variable_may_be_an_unknown_key_and_is_found_inner_first() {
    let loaded = read("size = 1k\nsome { size = 2k }\nmax_payload = $size\nsome2 = $some\n");
    assert_eq!(loaded.unwrap_err().to_string(), "f.conf:4:1: unknown field \"some2\"\n");
    let loaded = read("a = 5\njetstream { a = 7k, max_buffered_msgs = $a }\nping_max = $a\n");
    let options = loaded.unwrap().options;
    assert_eq!((options.jetstream.max_buffered_msgs, options.limits.ping_max), (7000, 5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut loader = |_: &str| Ok(bytes.clone());
        let _ = load("f.conf", &mut loader, &|_| None);
    }

    #[test]
    fn no_tokens_make_it_panic(
        picks in proptest::collection::vec(0..TOKENS.len(), 0..60)
    ) {
        let text: String = picks.iter().map(|i| TOKENS[*i]).collect();
        let mut loader = |_: &str| Ok(text.clone().into_bytes());
        let _ = load("f.conf", &mut loader, &|name| Some(format!("${name}")));
    }
}

/// Pieces that reach deeper than random bytes do.
const TOKENS: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\n",
    " ",
    ",",
    ";",
    ":",
    "=",
    "\"",
    "'",
    "\\",
    "\\x",
    "$a",
    "a",
    "#",
    "//",
    "/",
    "-",
    "1",
    "1k",
    "1.5",
    "2m",
    "1.2.3.4:5",
    "2006-01-02T15:04:05Z",
    "true",
    "include ",
    "port",
    "listen",
    "authorization",
    "users",
    "accounts",
    "A",
    "exports",
    "imports",
    "jetstream",
    "cluster",
    "tls",
    "mappings",
    "é",
    "\0",
];
