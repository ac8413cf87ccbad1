//! `mappings { source: destination }`, plain or weighted. Whether a destination's functions fit
//! its source is decided where mappings run; here stands only what the file alone shows.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use crate::subject;
use crate::value::{Node, Position, Value};

/// One source subject with its destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Subject to be mapped, may hold wildcards.
    pub source: String,
    /// Where it goes.
    pub destinations: Vec<MappingDestination>,
    /// Where it was written, for errors found later.
    pub at: Position,
}

/// One destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingDestination {
    /// Subject, may hold `$1` and `{{function()}}`.
    pub subject: String,
    /// Share in percent.
    pub weight: u8,
    /// Only in this cluster, if not empty.
    pub cluster: String,
}

pub(crate) fn parse(node: &Node, report: &mut Report) -> Vec<Mapping> {
    let Some(map) = report.map(node) else { return Vec::new() };
    let mut mappings = Vec::with_capacity(map.len());
    for (source, entry) in map.iter() {
        if !subject::is_valid(source) {
            report.error(node, format!("Subject {source:?} is not a valid subject"));
            continue;
        }
        let destinations = match &entry.value {
            Value::String(subject) => {
                vec![MappingDestination {
                    subject: subject.clone(),
                    weight: 100,
                    ..Default::default()
                }]
            }
            Value::Array(items) => {
                items.iter().filter_map(|item| destination(item, report)).collect()
            }
            _ => destination(entry, report).into_iter().collect(),
        };
        if let Err(reason) = check_weights(&destinations) {
            report.error(entry, format!("Error adding mapping for {source:?} : {reason}"));
            continue;
        }
        mappings.push(Mapping { source: source.to_owned(), destinations, at: entry.at.clone() });
    }
    mappings
}

fn destination(node: &Node, report: &mut Report) -> Option<MappingDestination> {
    let Value::Map(map) = &node.value else {
        report.error(node, "Expected an entry for the mapping destination");
        return None;
    };
    let mut dest = MappingDestination::default();
    let mut weighted = false;
    for (key, node) in map.iter() {
        match key.to_ascii_lowercase().as_str() {
            "dest" | "destination" => dest.subject = report.string(node)?,
            "weight" => {
                dest.weight = weight(node, report)?;
                weighted = true;
            }
            "cluster" => dest.cluster = report.string(node)?,
            _ => {
                report.error(node, format!("Unknown field {key:?} for mapping destination"));
                return None;
            }
        }
    }
    if !weighted {
        let reason = format!("Missing weight for mapping destination {:?}", dest.subject);
        report.error(node, reason);
        return None;
    }
    Some(dest)
}

fn weight(node: &Node, report: &mut Report) -> Option<u8> {
    let number = match &node.value {
        Value::Int(number) => *number,
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            let Ok(number) = digits.parse() else {
                let reason = format!("Invalid weight {digits:?} for mapping destination");
                report.error(node, reason);
                return None;
            };
            number
        }
        other => {
            report.error(node, format!("Unknown entry type for weight of {other}"));
            return None;
        }
    };
    match u8::try_from(number) {
        Ok(weight) if weight <= 100 => Some(weight),
        _ => {
            report.error(node, format!("Invalid weight {number} for mapping destination"));
            None
        }
    }
}

fn check_weights(destinations: &[MappingDestination]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut totals: BTreeMap<&str, u32> = BTreeMap::new();
    for dest in destinations {
        if !seen.insert(&dest.subject) {
            return Err(format!("duplicate entry for {:?}", dest.subject));
        }
        let total = totals.entry(&dest.cluster).or_default();
        *total += u32::from(dest.weight);
        if *total > 100 {
            return Err("total weight needs to be <= 100".to_owned());
        }
    }
    Ok(())
}
