//! The digest of a configuration: SHA-256 over the parsed tree as Go would print it in JSON
//! (sorted keys, HTML characters escaped, a line feed at the end), so that it equals the one
//! nats-server reports for the same file.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;

use crate::value::{Map, Value};

/// `sha256:<hex>` of the tree.
#[must_use]
pub fn digest(map: &Map) -> String {
    let mut json = String::new();
    write_map(&mut json, map);
    json.push('\n');
    let hash = ring::digest::digest(&ring::digest::SHA256, json.as_bytes());
    format!("sha256:{}", HEXLOWER.encode(hash.as_ref()))
}

fn write_map(out: &mut String, map: &Map) {
    out.push('{');
    for (i, (key, node)) in map.sorted().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_value(out, &node.value);
    }
    out.push('}');
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        Value::Int(v) => {
            let _ = write!(out, "{v}");
        }
        Value::Float(v) => write_float(out, *v),
        Value::String(v) | Value::Datetime(v) => write_string(out, v),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, &item.value);
            }
            out.push(']');
        }
        Value::Map(map) => write_map(out, map),
    }
}

/// Shortest form, with an exponent below 1e-6 and from 1e21 on, like ECMAScript.
fn write_float(out: &mut String, value: f64) {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let sign = if exponent.starts_with('-') { "-" } else { "+" };
        let _ = write!(out, "{digits}e{sign}{:0>2}", exponent.trim_start_matches('-'));
        // Go writes two exponent digits, then drops a leading zero of negative ones.
        if sign == "-" && exponent.len() == 2 {
            let cut = out.len() - 2;
            out.remove(cut);
        }
    } else {
        let _ = write!(out, "{value}");
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Bytes that are no UTF-8 became this character when the text was read.
            '\u{fffd}' => out.push_str("\\ufffd"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
