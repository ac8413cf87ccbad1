//! Finds where a permission of a user stands in a configuration, for explanations.

use crate::value::{Map, Node, Position, Value};

/// Keys of both sides, as in `options/permissions.rs`.
const SIDES: [(&str, [&str; 3]); 2] =
    [("publish", ["publish", "pub", "import"]), ("subscribe", ["subscribe", "sub", "export"])];
const PERMISSIONS: [&str; 3] = ["permissions", "permission", "authorization"];
const DEFAULTS: [&str; 2] = ["default_permissions", "default_permission"];

/// Where `entry` stands in the `allow` or `deny` list of one side (`publish` or
/// `subscribe`) of the permissions of `user` (name or nkey), own or default.
#[must_use]
pub fn permission(map: &Map, user: &str, side: &str, list: &str, entry: &str) -> Option<Position> {
    let node = of_user(map, user, None)?;
    let (_, names) = SIDES.iter().find(|(name, _)| *name == side)?;
    let Value::Map(permissions) = &node.value else { return None };
    let side = get(permissions, names)?;
    let items = match &side.value {
        Value::Map(lists) => get(lists, &[list])?,
        _ if list == "allow" => side,
        _ => return None,
    };
    let is_entry = |node: &&Node| matches!(&node.value, Value::String(text) if text == entry);
    match &items.value {
        Value::Array(items) => items.iter().find(is_entry),
        _ => Some(items).filter(is_entry),
    }
    .map(|node| node.at.clone())
}

fn get<'a>(map: &'a Map, names: &[&str]) -> Option<&'a Node> {
    map.iter().find(|(key, _)| names.iter().any(|n| key.eq_ignore_ascii_case(n))).map(|(_, n)| n)
}

/// The permissions block of a user; `default` is that of the blocks around it.
fn of_user<'a>(map: &'a Map, user: &str, default: Option<&'a Node>) -> Option<&'a Node> {
    let is_user = |node: &Node| matches!(&node.value, Value::String(text) if text == user);
    if get(map, &["user", "username", "nkey"]).is_some_and(is_user) {
        return get(map, &PERMISSIONS).or(default);
    }
    let default = get(map, &DEFAULTS).or(default);
    map.iter().find_map(|(key, node)| {
        // In `authorization`, `permissions` are defaults too.
        let default = match (&node.value, key.eq_ignore_ascii_case("authorization")) {
            (Value::Map(inner), true) => get(inner, &PERMISSIONS[..2]).or(default),
            _ => default,
        };
        below(node, user, default)
    })
}

fn below<'a>(node: &'a Node, user: &str, default: Option<&'a Node>) -> Option<&'a Node> {
    match &node.value {
        Value::Map(map) => of_user(map, user, default),
        Value::Array(items) => items.iter().find_map(|item| below(item, user, default)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found() {
        let text = r#"
authorization {
  permissions { pub: "d.>" }
  users = [
    {user: a, password: x, permissions: {
      publish: {allow: ["a.>", "b"], deny: "c"}
      sub: ["s"]
    }}
    {user: b, password: y}
  ]
}
accounts { X { default_permissions { sub { deny: z } }, users [ {user: c, password: q} ] } }
"#;
        let mut none = |_: &str| -> Result<Vec<u8>, crate::LoadError> { unreachable!() };
        let map = crate::parser::parse_text(text, &mut none, &|_| None).unwrap();
        for (user, side, list, entry, line) in [
            ("a", "publish", "allow", "b", Some(6)),
            ("a", "publish", "deny", "c", Some(6)),
            ("a", "subscribe", "allow", "s", Some(7)),
            ("a", "subscribe", "deny", "s", None),
            ("a", "publish", "allow", "z", None),
            ("b", "publish", "allow", "d.>", Some(3)),
            ("c", "subscribe", "deny", "z", Some(12)),
            ("nobody", "publish", "allow", "b", None),
        ] {
            let found = permission(&map, user, side, list, entry).map(|at| at.line);
            assert_eq!(found, line, "{user} {side} {list} {entry}");
        }
    }
}
