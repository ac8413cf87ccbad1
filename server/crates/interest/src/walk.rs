//! Going through subscriptions: all of them, or those whose subject overlaps a
//! wildcard subject. For monitoring and set-up, not for messages.

use crate::members::Members;
use crate::sublist::{NONE, ROOT, Sublist};
use gust_subject::tokens::{ONE, REST, SEP};
use gust_subject::{Tokens, tokens};

/// A subscription found.
#[derive(Debug)]
pub struct Found<'a, S> {
    /// Its subject.
    pub subject: &'a [u8],
    /// Its queue, empty if none.
    pub queue: &'a [u8],
    /// The id it was inserted under.
    pub id: u64,
    /// Its value.
    pub value: &'a S,
}

/// What is still to be looked at: a node, its subject, the filter's rest there.
struct Todo<'f> {
    node: u32,
    subject: Vec<u8>,
    filter: Ahead<'f>,
}

#[derive(Clone)]
enum Ahead<'f> {
    /// Tokens of the filter that are left.
    Tokens(Tokens<'f>),
    /// A `>` was met: everything below counts.
    All,
}

impl<S> Sublist<S> {
    /// Calls `visit` for every subscription. The order depends on the seed and
    /// the history only.
    pub fn for_each(&self, visit: impl FnMut(Found<'_, S>)) {
        self.walk(Ahead::All, visit);
    }

    /// Calls `visit` for every subscription whose subject has a subject in common
    /// with `filter` ([`gust_subject::overlaps`]).
    pub fn overlapping(&self, filter: &[u8], visit: impl FnMut(Found<'_, S>)) {
        self.walk(Ahead::Tokens(tokens(filter)), visit);
    }

    fn walk(&self, filter: Ahead<'_>, mut visit: impl FnMut(Found<'_, S>)) {
        let mut stack = vec![Todo { node: ROOT, subject: Vec::new(), filter }];
        while let Some(todo) = stack.pop() {
            let node = &self.nodes[todo.node as usize];
            // `below` is the filter for the children; `name` limits them to one.
            let (here, below, name) = match todo.filter {
                Ahead::All => (true, Some(Ahead::All), None),
                Ahead::Tokens(mut it) => match it.next() {
                    None => (true, None, None),
                    Some(t) if t == REST && it.rest().is_none() => (false, Some(Ahead::All), None),
                    Some(t) if t == ONE => (false, Some(Ahead::Tokens(it)), None),
                    Some(t) => (false, Some(Ahead::Tokens(it)), Some(t)),
                },
            };
            if here {
                self.visit(todo.node, &todo.subject, &mut visit);
            }
            let Some(below) = below else { continue };
            let extend = |token: &[u8]| {
                let mut s = todo.subject.clone();
                if todo.node != ROOT {
                    s.push(SEP);
                }
                s.extend_from_slice(token);
                s
            };
            if node.rest != NONE {
                self.visit(node.rest, &extend(REST), &mut visit);
            }
            if node.one != NONE {
                let filter = below.clone();
                stack.push(Todo { node: node.one, subject: extend(ONE), filter });
            }
            match name {
                Some(token) => {
                    if let Some(&child) = node.names.get(token) {
                        stack.push(Todo { node: child, subject: extend(token), filter: below });
                    }
                }
                None => stack.extend(node.names.iter().map(|(token, &child)| Todo {
                    node: child,
                    subject: extend(token),
                    filter: below.clone(),
                })),
            }
        }
    }

    fn visit(&self, node: u32, subject: &[u8], visit: &mut impl FnMut(Found<'_, S>)) {
        let node = &self.nodes[node as usize];
        let mut list = |queue: &[u8], members: &Members<S>| {
            for (id, value) in members.list() {
                visit(Found { subject, queue, id: *id, value });
            }
        };
        list(&[], &node.plain);
        for (name, members) in &node.queues {
            list(name, members);
        }
    }
}
