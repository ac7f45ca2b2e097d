//! Storage paths as text: cleaning, joining, filling templates, limits. Always `/`, never the file system.
//!
//! What a value put into a template can never do: climb (`..`), make a relative path absolute, or smuggle in control
//! characters. It may still bring directories of its own (`a/b` as room name), as upstream.

use crate::Refusal;

/// Longest path a request may ask for, bytes.
pub const MAX_PATH: usize = 4096;
/// Longest name between two slashes, bytes (what file systems take).
pub const MAX_NAME: usize = 255;

/// Extensions that are replaced by the right one; others are part of the name.
const KNOWN_EXTENSIONS: [&str; 9] = [
    ".raw", ".ogg", ".mp3", ".ivf", ".mp4", ".ts", ".webm", ".m3u8", ".jpeg",
];

/// Cleans a user's path: `.`, `..` and double slashes resolved in the text, leading `../` removed, nothing left →
/// empty, a trailing `/` kept, absolute paths kept (egress-behaviour.md §3.1).
#[must_use]
pub fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // What would climb out of the start is dropped, absolute or not.
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let mut cleaned = String::with_capacity(path.len());
    if absolute {
        cleaned.push('/');
    }
    cleaned.push_str(&parts.join("/"));
    if path.ends_with('/') && !cleaned.is_empty() && !cleaned.ends_with('/') {
        cleaned.push('/');
    }
    cleaned
}

/// Joins and cleans: `join("/var/storage", "/foo")` is `/var/storage/foo`.
#[must_use]
pub fn join(dir: &str, path: &str) -> String {
    match (dir.is_empty(), path.is_empty()) {
        (true, _) => clean(path),
        (false, true) => clean(dir),
        (false, false) => clean(&format!("{dir}/{path}")),
    }
}

/// Directory with its trailing slash (or empty), and the rest.
#[must_use]
pub fn split(path: &str) -> (&str, &str) {
    path.rfind('/')
        .map_or(("", path), |slash| path.split_at(slash + 1))
}

/// Puts values for `{tokens}` into a cleaned path, left to right and once: values are not searched again, unknown
/// tokens stay. The result is as clean as the template was.
#[must_use]
pub fn fill<'a>(template: &str, value: &dyn Fn(&str) -> Option<&'a str>) -> String {
    if !template.contains('{') {
        return template.to_owned();
    }
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        filled.push_str(before);
        let token = from[1..].find(['}', '{']).map(|end| &from[1..=end]);
        let closed = token.is_some_and(|token| from[1 + token.len()..].starts_with('}'));
        match token
            .filter(|_| closed)
            .and_then(|token| value(token).map(|v| (token, v)))
        {
            Some((token, value)) => {
                filled.push_str(&harmless(value));
                rest = &from[token.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    // The template had no `..`; whatever is there now came from a value, and goes.
    let parts: Vec<&str> = filled
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    let mut path = String::with_capacity(filled.len());
    if template.starts_with('/') {
        path.push('/');
    }
    path.push_str(&parts.join("/"));
    if template.ends_with('/') && !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// A value made fit to be part of a path: no control characters, no climbing, no slash at either end.
#[must_use]
pub fn harmless(value: &str) -> String {
    let printable: String = value
        .chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .collect();
    let parts: Vec<&str> = printable
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    parts.join("/")
}

/// The path with this extension: kept if there, put in place of a known wrong one, appended otherwise
/// (`a.b` → `a.b.mp4`, `a.ogg` → `a.mp4`).
#[must_use]
pub fn with_extension(path: &str, extension: &str) -> String {
    if path.ends_with(extension) {
        return path.to_owned();
    }
    let stem = KNOWN_EXTENSIONS
        .iter()
        .find_map(|known| path.strip_suffix(known))
        .unwrap_or(path);
    format!("{stem}{extension}")
}

/// The beginning of a text, at most `bytes` long, never half a character.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Shortens names that no file system takes, keeping their extension. For values that only joining told: a long
/// identity must not end a recording.
#[must_use]
pub fn fit(path: &str) -> String {
    if path.split('/').all(|name| name.len() <= MAX_NAME) {
        return path.to_owned();
    }
    let names: Vec<String> = path
        .split('/')
        .map(|name| {
            if name.len() <= MAX_NAME {
                return name.to_owned();
            }
            let extension = KNOWN_EXTENSIONS
                .iter()
                .find(|known| name.ends_with(**known))
                .map_or("", |known| *known);
            format!("{}{extension}", cut(name, MAX_NAME - extension.len()))
        })
        .collect();
    names.join("/")
}

/// Whether a path can be used: length, names, control characters. `room` bytes are kept free in the last name for
/// what is appended to it (numbers, extensions).
///
/// # Errors
/// `… field: <field> (…)`.
pub fn check(field: &str, path: &str, room: usize) -> Result<(), Refusal> {
    if path.len() > MAX_PATH {
        return Err(Refusal::field(format!(
            "{field} ({MAX_PATH} bytes at most)"
        )));
    }
    if path.chars().any(char::is_control) {
        return Err(Refusal::field(format!(
            "{field} (control characters are not allowed)"
        )));
    }
    let (dir, last) = split(path);
    let longest = dir.split('/').map(str::len).max().unwrap_or(0);
    if longest > MAX_NAME || last.len() + room > MAX_NAME {
        return Err(Refusal::field(format!(
            "{field} (names of {MAX_NAME} bytes at most)"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_paths_are_cleaned_as_upstream() {
        for (path, expect) in [
            ("", ""),
            (".", ""),
            ("..", ""),
            ("../", ""),
            ("/", "/"),
            ("a//b/./c/../d", "a/b/d"),
            ("../../etc/x.mp4", "etc/x.mp4"),
            ("a/../../b", "b"),
            ("/../x", "/x"),
            ("/out/x.mp4", "/out/x.mp4"),
            ("d/", "d/"),
            ("a/../", ""),
        ] {
            assert_eq!(clean(path), expect, "{path}");
        }
    }

    #[test]
    fn values_can_bring_directories_but_not_climb() {
        let fill = |template: &str, room: &str| {
            fill(template, &|token| (token == "room_name").then_some(room))
        };
        assert_eq!(fill("rec/{room_name}.mp4", "a/b"), "rec/a/b.mp4");
        assert_eq!(fill("rec/{room_name}.mp4", "../../etc/x"), "rec/etc/x.mp4");
        assert_eq!(fill("{room_name}.mp4", "/etc/x"), "etc/x.mp4");
        assert_eq!(fill("rec/.{room_name}/x", "."), "rec/x");
        assert_eq!(fill("/out/{room_name}/", ".."), "/out/");
        assert_eq!(fill("{room_name}", "a\0b\n"), "a_b_");
        assert_eq!(
            fill("{room_name}/{x}", "{room_name}"),
            "{room_name}/{x}",
            "once"
        );
        assert_eq!(fill("{{room_name}}", "r"), "{r}");
        assert_eq!(fill("{room_name", "r"), "{room_name");
        assert_eq!(fill("a}{", "r"), "a}{");
    }

    #[test]
    fn only_known_extensions_are_replaced() {
        for (path, expect) in [
            ("a.b", "a.b.mp4"),
            ("a.ogg", "a.mp4"),
            ("a.mp4", "a.mp4"),
            ("a.v2", "a.v2.mp4"),
            ("d.ogg/a", "d.ogg/a.mp4"),
            (".ts", ".mp4"),
        ] {
            assert_eq!(with_extension(path, ".mp4"), expect);
        }
    }

    #[test]
    fn long_names_are_refused_or_shortened() {
        let long = "ä".repeat(200);
        assert!(check("filepath", &format!("{long}/x"), 0).is_err());
        assert!(check("filepath", &format!("x/{}", "a".repeat(250)), 4).is_ok());
        assert!(check("filepath", &format!("x/{}", "a".repeat(252)), 4).is_err());
        assert!(check("filepath", &"a/".repeat(3000), 0).is_err());
        assert!(check("filepath", "a\nb", 0).is_err());
        let fitted = fit(&format!("d/{long}.mp4"));
        assert!(fitted.ends_with("ä.mp4") && fitted.len() <= 2 + MAX_NAME);
    }
}
