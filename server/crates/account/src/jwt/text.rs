//! Files that hold tokens and seeds: one alone, or between lines of dashes, as in
//! a creds file.

use zeroize::Zeroizing;

/// The token in `text`: what stands between the first pair of `BEGIN … JWT` and
/// `END` lines, or all of it.
#[must_use]
pub fn token_of(text: &str) -> Option<&str> {
    match between(text, "JWT") {
        Some(token) => Some(token),
        None => Some(text.trim()).filter(|t| t.split('.').count() == 3 && !t.contains('\n')),
    }
}

/// The seed in `text`: what stands between `BEGIN … SEED` and `END` lines, or the
/// first line that looks like one.
#[must_use]
pub fn seed_of(text: &str) -> Option<Zeroizing<String>> {
    let line = between(text, "SEED")
        .or_else(|| text.lines().map(str::trim).find(|l| l.starts_with('S') && l.len() == 58));
    line.map(|seed| Zeroizing::new(seed.to_owned()))
}

/// The first line that is not empty after `-----BEGIN … word-----`.
fn between<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    let begins = |l: &&str| {
        l.starts_with("---") && l.contains("BEGIN") && l.trim_end_matches('-').ends_with(word)
    };
    lines.find(|l| begins(l))?;
    lines.find(|l| !l.is_empty()).filter(|l| !l.starts_with("---"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_seeds_are_found() {
        let seed = format!("SU{}", "A".repeat(56));
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\r\na.b.c\r\n------END NATS USER JWT------\r\n\n***\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        assert_eq!(token_of(&creds), Some("a.b.c"));
        assert_eq!(seed_of(&creds).map(|s| s.to_string()), Some(seed.clone()));
        assert_eq!(token_of(" a.b.c\n"), Some("a.b.c"));
        assert_eq!(seed_of(&format!("# key\n{seed}\n")).map(|s| s.to_string()), Some(seed));
        for none in ["", "a.b", "-----BEGIN X JWT-----", "-----BEGIN X JWT-----\n-----END-----"] {
            assert_eq!(token_of(none), None, "{none}");
            assert!(seed_of(none).is_none());
        }
    }
}
