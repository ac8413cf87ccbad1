//! Configuration of the server: the nats-server configuration language, typed options with all
//! their checks, and the command line.
//!
//! Pure: file text comes through a [`Loader`], the environment through a closure. The path of a
//! start is [`cli::parse`], [`load`], [`Options::apply_cli`], [`Options::apply_defaults`],
//! [`validate_start`]; a reload takes the same path again and asks [`check_reload`].

pub mod cli;
pub mod digest;
pub mod duration;
pub mod include;
mod lexer;
pub mod locate;
pub mod nkey;
pub mod options;
pub mod parser;
pub mod subject;
pub mod url;
pub mod value;
mod variables;

use std::fmt;

pub use include::{LoadError, Loader};
pub use options::Options;
pub use options::reload::{ReloadError, ReloadPlan, check_reload};
pub use options::report::Problem;
pub use options::validate::{StartError, validate_start};

use options::report::Report;
use value::Map;

/// A configuration that was read without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What the file says; flags and defaults are not applied.
    pub options: Options,
    /// `sha256:<hex>` of the parsed file.
    pub digest: String,
    /// Tolerated at start (print them), refused by `-t`.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// The verdict of `-t`, which takes warnings for errors.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        if self.warnings.is_empty() {
            return Ok(());
        }
        Err(ConfigErrors::Problems { warnings: self.warnings.clone(), errors: Vec::new() })
    }
}

/// Why a configuration cannot be used. The display form is exactly what follows `nats-server: `
/// (without the line feed a print adds): one line for a file that does not parse, one line per
/// problem and a closing line feed otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigErrors {
    /// The text could not be read or parsed.
    Parse(String),
    /// Fields are wrong.
    Problems {
        /// Printed first.
        warnings: Vec<Problem>,
        /// Why it failed; empty only from [`Loaded::check`].
        errors: Vec<Problem>,
    },
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigErrors::Parse(reason) => f.write_str(reason),
            ConfigErrors::Problems { warnings, errors } => {
                warnings.iter().chain(errors).try_for_each(|problem| writeln!(f, "{problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads and checks the configuration file at `path`.
pub fn load(
    path: &str,
    loader: &mut dyn Loader,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let map = parser::parse_file(path, loader, env)
        .map_err(|err| ConfigErrors::Parse(err.to_string()))?;
    from_map(path, &map)
}

/// The same from a text that stands in no file.
pub fn load_text(
    text: &str,
    loader: &mut dyn Loader,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let map = parser::parse_text(text, loader, env)
        .map_err(|err| ConfigErrors::Parse(err.to_string()))?;
    from_map("", &map)
}

fn from_map(file: &str, map: &Map) -> Result<Loaded, ConfigErrors> {
    let mut report = Report::default();
    let options = options::top::parse(file, map, &mut report);
    let Report { errors, warnings } = report;
    if !errors.is_empty() {
        return Err(ConfigErrors::Problems { warnings, errors });
    }
    Ok(Loaded { options, digest: digest::digest(map), warnings })
}

#[cfg(test)]
mod load_test;
