//! Who may connect, and what accounts there are.

use std::collections::BTreeMap;

use super::compare::{Diff, Pair, Rule, both};
use super::show::Show as _;
use crate::options::Options;
use crate::options::accounts::Account;
use crate::options::authorization::{Authorization, SimpleAuthorization};
use crate::options::users::User;

/// The block of the server; its users come with those of the accounts.
pub(super) fn authorization(diff: &mut Diff, (old, new): Pair<'_, Authorization>) {
    both!(
        Authorization {
            user,
            pass,
            token,
            timeout_ns,
            users,
            has_users,
            default_permissions,
            auth_callout,
            proxy_required,
            defined,
        } = old,
        new
    );
    diff.value(Rule::Live, "authorization.user", user);
    diff.secret(Rule::Live, "authorization.pass", pass);
    diff.secret(Rule::Live, "authorization.token", token);
    diff.duration(Rule::Live, "authorization.timeout", timeout_ns);
    diff.opaque(
        Rule::Fixed("AuthCallout"),
        "authorization.auth_callout",
        auth_callout,
        Option::is_some,
    );
    diff.value(Rule::Fixed("ProxyRequired"), "authorization.proxy_required", proxy_required);
    // Seen by their effect on the users, or on whether a login is needed.
    let _ = (users, has_users, default_permissions, defined);
}

/// `authorization` of `websocket` and `mqtt`, or of `cluster` and `gateway`.
pub(super) fn simple(
    diff: &mut Diff,
    rule: Rule<'_>,
    name: &str,
    (old, new): Pair<'_, SimpleAuthorization>,
) {
    both!(SimpleAuthorization { user, pass, token, timeout_ns } = old, new);
    diff.value(rule, &format!("{name}.user"), user);
    diff.secret(rule, &format!("{name}.pass"), pass);
    diff.secret(rule, &format!("{name}.token"), token);
    diff.duration(rule, &format!("{name}.timeout"), timeout_ns);
}

/// All users by their unique name, so that one who moves to another account is seen to move.
pub(super) fn users(diff: &mut Diff, old: &Options, new: &Options) {
    let by_name = |options| Options::users(options).map(|user| (user.identity(), user)).collect();
    let old: BTreeMap<&str, &User> = by_name(old);
    let new: BTreeMap<&str, &User> = by_name(new);
    let known = |user: &User| format!("in account {}", user.account);
    for (name, before) in &old {
        match new.get(name) {
            Some(after) => user(diff, &format!("users.{name}"), (before, after)),
            None => {
                diff.put(Rule::Live, &format!("users.{name}"), known(before), "removed".to_owned());
            }
        }
    }
    for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        diff.put(Rule::Live, &format!("users.{name}"), String::new(), known(after));
    }
}

fn user(diff: &mut Diff, at: &str, (old, new): Pair<'_, User>) {
    both!(
        User { user, pass, nkey, permissions, account, allowed_connection_types, proxy_required } =
            old,
        new
    );
    diff.value(Rule::Live, &format!("{at}.account"), account);
    diff.secret(Rule::Live, &format!("{at}.pass"), pass);
    diff.value(Rule::Live, &format!("{at}.permissions"), permissions);
    diff.value(Rule::Live, &format!("{at}.allowed_connection_types"), allowed_connection_types);
    diff.value(Rule::Live, &format!("{at}.proxy_required"), proxy_required);
    // The two names are what found the pair; the same text may only change its kind.
    diff.value(Rule::Live, &format!("{at}.user"), user);
    diff.value(Rule::Live, &format!("{at}.nkey"), nkey);
}

/// All accounts by name.
pub(super) fn accounts(diff: &mut Diff, old: &[Account], new: &[Account]) {
    let find = |list: &[Account], name: &str| list.iter().find(|a| a.name == name).cloned();
    for before in old {
        let at = format!("accounts.{}", before.name);
        match find(new, &before.name) {
            Some(after) => {
                let (mut before, mut after) = (before.clone(), after);
                forget_places(&mut before);
                forget_places(&mut after);
                account(diff, &at, (&before, &after));
            }
            None => diff.put(Rule::Live, &at, "configured".to_owned(), "removed".to_owned()),
        }
    }
    for after in new {
        if find(old, &after.name).is_none() {
            let at = format!("accounts.{}", after.name);
            diff.put(Rule::Live, &at, String::new(), "configured".to_owned());
        }
    }
}

fn account(diff: &mut Diff, at: &str, (old, new): Pair<'_, Account>) {
    both!(
        Account {
            name,
            nkey,
            users,
            default_permissions,
            limits,
            jetstream,
            cluster_traffic_owner,
            mappings,
            exports,
            imports,
            message_trace,
        } = old,
        new
    );
    let live = Rule::Live;
    diff.value(live, &format!("{at}.nkey"), nkey);
    diff.value(live, &format!("{at}.limits"), limits);
    diff.value(live, &format!("{at}.jetstream"), jetstream);
    diff.value(live, &format!("{at}.jetstream.cluster_traffic_owner"), cluster_traffic_owner);
    diff.value(live, &format!("{at}.mappings"), mappings);
    diff.value(live, &format!("{at}.exports"), exports);
    diff.value(live, &format!("{at}.imports"), imports);
    diff.value(live, &format!("{at}.msg_trace"), message_trace);
    // The name found the pair, and users are compared over all accounts.
    let _ = (name, users, default_permissions);
}

/// A line more at the top of the file is no change of what stands below.
fn forget_places(account: &mut Account) {
    let nowhere = || crate::value::Position { file: "".into(), line: 0, col: 0 };
    account.mappings.iter_mut().for_each(|mapping| mapping.at = nowhere());
    account.exports.iter_mut().for_each(|export| export.at = nowhere());
    account.imports.iter_mut().for_each(|import| import.at = nowhere());
}

/// Keys of trusted proxies: each on its own, so that the log tells which one went.
pub(super) fn proxies(diff: &mut Diff, (old, new): Pair<'_, Vec<String>>) {
    if old != new {
        diff.put(Rule::Live, "proxies", old.show(), new.show());
    }
}
