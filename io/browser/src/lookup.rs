//! Finds programs on `PATH`, and says what to install when they are missing.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Upstream's order (chromedp) without the headless shells: those draw on no display, their recording would be black.
const BROWSERS: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "google-chrome-beta",
    "google-chrome-unstable",
    "/usr/bin/google-chrome",
    "/usr/local/bin/chrome",
    "/snap/bin/chromium",
    "chrome",
];

/// The program of that name (or path), if it can be executed.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return executable(Path::new(name)).then(|| PathBuf::from(name));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|candidate| executable(candidate))
}

/// A helper program.
///
/// # Errors
/// With the package to install.
pub(crate) fn helper(name: &str, package: &str) -> Result<PathBuf, String> {
    on_path(name)
        .ok_or_else(|| format!("{name} was not found on PATH: install the package {package}"))
}

/// The browser: the configured one, else the first known name on `PATH`.
///
/// # Errors
/// With what to install or to change.
pub(crate) fn browser(configured: Option<&Path>) -> Result<PathBuf, String> {
    match configured {
        Some(path) if executable(path) => Ok(path.to_owned()),
        Some(path) => Err(format!("{} cannot be executed", path.display())),
        None => BROWSERS.iter().find_map(|name| on_path(name)).ok_or_else(|| {
            "chromium was not found on PATH: install the package chromium or google-chrome-stable"
                .to_owned()
        }),
    }
}

fn executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_what_to_install() {
        let text = helper("no-such-program-here", "the-package").unwrap_err();
        assert_eq!(
            text,
            "no-such-program-here was not found on PATH: install the package the-package"
        );
        assert!(
            browser(Some(Path::new("/no/chrome")))
                .unwrap_err()
                .contains("/no/chrome")
        );
    }

    #[test]
    fn what_is_not_executable_is_no_program() {
        assert!(on_path("/etc/passwd").is_none());
        assert!(on_path("sh").is_some());
    }
}
