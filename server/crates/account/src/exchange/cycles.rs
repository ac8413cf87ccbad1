//! Imports that would bring a message back to where it started.

use super::service::ServiceImport;
use super::stream::StreamImport;
use gust_subject::{intersection, overlaps};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The imports accepted so far, by importing account.
pub(super) type Accepted<T> = BTreeMap<Arc<str>, Vec<Arc<T>>>;

/// One step of a message from account to account.
#[derive(Clone, Copy)]
struct Step<'a> {
    /// Account and subject it leaves.
    from: (&'a str, &'a [u8]),
    /// Account and subject it reaches.
    to: (&'a str, &'a [u8]),
}

/// Whether requests that use `import` of `importer` can come back to it.
pub(super) fn service_cycle(
    accepted: &Accepted<ServiceImport>,
    importer: &str,
    import: &ServiceImport,
) -> bool {
    let steps: Vec<Step<'_>> = accepted
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |i| (name, i)))
        .map(|(name, i)| Step { from: (name, &i.from), to: (&i.exporter, &i.to) })
        .collect();
    let first = Step { from: (importer, &import.from), to: (&import.exporter, &import.to) };
    returns(&steps, first)
}

/// Whether messages that `import` brings to `importer` can come back to the
/// exporter under a subject it exports to it.
pub(super) fn stream_cycle(
    accepted: &Accepted<StreamImport>,
    importer: &str,
    import: &StreamImport,
) -> bool {
    let steps: Vec<Step<'_>> = accepted
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |i| (name, i)))
        .map(|(name, i)| Step { from: (&i.exporter, &i.from), to: (name, &i.to) })
        .collect();
    let first = Step { from: (&import.exporter, &import.from), to: (importer, &import.to) };
    returns(&steps, first)
}

fn returns(steps: &[Step<'_>], first: Step<'_>) -> bool {
    // Reached, with the part of a subject that gets there. A step is taken once:
    // wider parts reach no more accounts than its whole destination would.
    let mut todo = vec![first];
    let mut taken = BTreeSet::new();
    while let Some(Step { to: (account, subject), .. }) = todo.pop() {
        if account == first.from.0 && overlaps(subject, first.from.1) {
            return true;
        }
        for (at, step) in steps.iter().enumerate() {
            let reaches = step.from.0 == account && intersection(step.from.1, subject).is_some();
            if reaches && taken.insert(at) {
                todo.push(*step);
            }
        }
    }
    false
}
