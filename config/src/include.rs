//! Included files: how a path is found, and who reads it.

use std::fmt;

/// Gives the text of a file. The crate does no I/O, so the caller opens files.
pub trait Loader {
    /// Reads the whole file at `path`. The error text is shown to the user after the words
    /// nats-server uses (`open x.conf: no such file or directory` is the expected shape).
    fn load(&mut self, path: &str) -> Result<Vec<u8>, LoadError>;
}

impl<F> Loader for F
where
    F: FnMut(&str) -> Result<Vec<u8>, LoadError>,
{
    fn load(&mut self, path: &str) -> Result<Vec<u8>, LoadError> {
        self(path)
    }
}

/// Why a file could not be read, as the user shall see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(pub String);

impl LoadError {
    /// The text for a file that is not there.
    #[must_use]
    pub fn not_found(path: &str) -> Self {
        Self(format!("open {path}: no such file or directory"))
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// The path an `include` means: always below the directory of the including file, even when it is
/// written as absolute (nats-server joins them; configurations rely on it).
#[must_use]
pub fn resolve(including_file: &str, included: &str) -> String {
    let dir = including_file.rsplit_once('/').map_or("", |(dir, _)| dir);
    // The directory of `/a.conf` is the root, that of `a.conf` the working directory.
    let dir = if including_file.starts_with('/') && dir.is_empty() { "/" } else { dir };
    clean(&format!("{dir}/{included}"), dir.starts_with('/'))
}

/// Drops `.` and doubled slashes and folds `..` lexically.
fn clean(path: &str, rooted: bool) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                // Nothing lies above the root.
                _ if rooted => {}
                _ => parts.push(".."),
            },
            _ => parts.push(part),
        }
    }
    if rooted { format!("/{}", parts.join("/")) } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn an_included_path_is_joined_to_the_directory_of_the_including_file() {
        for (from, to, want) in [
            ("a.conf", "b.conf", "b.conf"),
            ("./a.conf", "./b.conf", "b.conf"),
            ("dir/a.conf", "b.conf", "dir/b.conf"),
            ("/etc/a.conf", "sub/b.conf", "/etc/sub/b.conf"),
            ("/etc/a.conf", "/abs/b.conf", "/etc/abs/b.conf"),
            ("/etc/nats/a.conf", "../b.conf", "/etc/b.conf"),
            ("dir/a.conf", "../../b.conf", "../b.conf"),
            ("a.conf", "../b.conf", "../b.conf"),
            ("a.conf", "/b.conf", "b.conf"),
        ] {
            assert_eq!(resolve(from, to), want, "{from} includes {to}");
        }
    }
}
