//! Reading the files of operator mode before anything is decided by them.

use gust_account::jwt::{MAX_TOKEN_BYTES, token_of};
use gust_account::operator::adopt;
use gust_config::Options;
use std::fs::File;
use std::io::Read;

/// Replaces the operators' files by the tokens in them, and takes over what the
/// tokens say of the system account and the resolver.
pub fn read(options: &mut Options) -> Result<(), String> {
    for entry in &mut options.trust.operators {
        if !is_token(entry) {
            let text = file(entry)?;
            *entry = token_of(&text)
                .ok_or_else(|| format!("error parsing operator JWT: {entry} holds no JWT"))?
                .to_owned();
        }
    }
    if options.is_operator_mode() {
        adopt(options).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Whether an entry is a token and not a path.
fn is_token(entry: &str) -> bool {
    entry.starts_with("eyJ") && entry.split('.').count() == 3
}

fn file(path: &str) -> Result<String, String> {
    let why = |e: std::io::Error| format!("error parsing operator JWT: open {path}: {e}");
    let mut text = String::new();
    let limit = MAX_TOKEN_BYTES as u64 + 1024;
    File::open(path).map_err(why)?.take(limit).read_to_string(&mut text).map_err(why)?;
    Ok(text)
}
