//! One YAML text: its values, and where in the text each of them stands.
//!
//! `serde_yaml_ng` keeps no positions in its values, but its errors carry the position of the event they were raised
//! at. A place is therefore found by walking the text once more along a path and stopping there with an error; the
//! same walk gives the untouched text of a scalar (`0123` as a password is not the number 123). Configurations
//! are small, walks are only made for scalars that YAML took for something else and for problems.

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_yaml_ng::{Mapping, Value};
use std::fmt;

/// One step from a value to one inside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// `redis.sentinel_addresses[0]`.
pub(crate) fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// A parsed text.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    root: Mapping,
}

/// The text is no YAML mapping.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Document {
    /// Parses the first YAML document of the text; an empty one is an empty mapping.
    pub(crate) fn parse(text: &str) -> Result<Self, Unreadable> {
        let unreadable = |error: serde_yaml_ng::Error| Unreadable {
            line: error.location().map(|at| at.line()),
            message: bare(&error),
        };
        let mut root = match serde_yaml_ng::Deserializer::from_str(text).next() {
            Some(document) => Value::deserialize(document).map_err(unreadable)?,
            None => Value::Null,
        };
        root.apply_merge().map_err(unreadable)?;
        let root = match root {
            Value::Null => Mapping::new(),
            Value::Mapping(mapping) => mapping,
            Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Tagged(_) => {
                return Err(Unreadable {
                    line: Some(1),
                    message: "the configuration must be a mapping of keys to values".to_owned(),
                });
            }
        };
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    /// The outermost mapping.
    pub(crate) const fn root(&self) -> &Mapping {
        &self.root
    }

    /// Line (from 1) of the key or item at the end of the path; of the nearest one around it when the text has none
    /// there (merged in with `<<`).
    pub(crate) fn line(&self, path: &[Step]) -> Option<usize> {
        (1..=path.len()).rev().find_map(|len| {
            let error = self.walk(&path[..len], Want::Place).err()?;
            error.location().map(|at| at.line())
        })
    }

    /// The scalar at the end of the path exactly as written.
    pub(crate) fn text(&self, path: &[Step]) -> Option<String> {
        let mut found = None;
        self.walk(path, Want::Text(&mut found)).ok()?;
        found
    }

    fn walk(&self, path: &[Step], want: Want<'_>) -> Result<(), serde_yaml_ng::Error> {
        match serde_yaml_ng::Deserializer::from_str(&self.text).next() {
            Some(document) => Walk { path, want }.deserialize(document),
            None => Ok(()),
        }
    }
}

/// The message without serde_yaml's own " at line 3 column 5".
fn bare(error: &serde_yaml_ng::Error) -> String {
    let text = error.to_string();
    let text = text
        .find(" at line ")
        .map_or(text.as_str(), |end| &text[..end]);
    match text.split_once("duplicate entry with key ") {
        Some((_, key)) => format!("{key} is given twice in the block that begins here"),
        None => text.to_owned(),
    }
}

/// What a walk is for.
enum Want<'f> {
    /// End with an error at the place.
    Place,
    /// Copy the scalar at the place.
    Text(&'f mut Option<String>),
}

/// The message of an error that only marks a place.
const HERE: &str = "here";

struct Walk<'p, 'f> {
    path: &'p [Step],
    want: Want<'f>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            deserializer.deserialize_str(self)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the path leads to")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.want {
            Want::Place => Err(E::custom(HERE)),
            Want::Text(found) => {
                *found = Some(text.to_owned());
                Ok(())
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        let stop = rest.is_empty() && matches!(self.want, Want::Place);
        while let Some(matched) = map.next_key_seed(Key { wanted, stop })? {
            if matched {
                map.next_value_seed(Walk {
                    path: rest,
                    want: self.want,
                })?;
                // Whatever follows is not looked at, but has to be taken.
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        for _ in 0..*wanted {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk {
            path: rest,
            want: self.want,
        })?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A key of a mapping: is it the wanted one, and is that the end of the walk?
struct Key<'k> {
    wanted: &'k str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.wanted, self.stop) {
            (true, true) => Err(E::custom(HERE)),
            (matched, _) => Ok(matched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &[&str]) -> Vec<Step> {
        keys.iter()
            .map(|key| match key.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key((*key).to_owned()),
            })
            .collect()
    }

    const TEXT: &str = "# a comment\nredis:\n  address: a:1\n  password: 0123\n\nlist:\n  - one\n  - {b: 2,\n     c: 1e5}\nshared: &s\n  x: 1\nuse: *s\nmerged:\n  <<: *s\n  y: 2\n";

    #[test]
    fn places_are_found_in_every_style() {
        let doc = Document::parse(TEXT).unwrap();
        for (keys, line) in [
            (&["redis"][..], Some(2)),
            (&["redis", "address"], Some(3)),
            (&["redis", "password"], Some(4)),
            (&["list", "0"], Some(7)),
            (&["list", "1", "b"], Some(8)),
            (&["list", "1", "c"], Some(9)),
            (&["use"], Some(12)),
            (&["merged", "y"], Some(15)),
            (&["merged", "x"], Some(13)),
            (&["nowhere"], None),
        ] {
            assert_eq!(doc.line(&path(keys)), line, "{keys:?}");
        }
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let doc = Document::parse(TEXT).unwrap();
        assert_eq!(
            doc.text(&path(&["redis", "password"])).as_deref(),
            Some("0123")
        );
        assert_eq!(doc.text(&path(&["list", "1", "c"])).as_deref(), Some("1e5"));
        assert_eq!(doc.text(&path(&["redis"])), None);
        assert_eq!(doc.text(&path(&["nowhere"])), None);
    }

    #[test]
    fn broken_texts_say_where() {
        let broken = Document::parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(broken.line.is_some_and(|line| line >= 2), "{broken:?}");
        let twice = Document::parse("a:\n  b: 1\n  b: 2\n").unwrap_err();
        assert_eq!(twice.line, Some(2));
        assert_eq!(
            twice.message,
            "\"b\" is given twice in the block that begins here"
        );
        assert!(Document::parse("- a\n").is_err());
        assert!(Document::parse("").unwrap().root().is_empty());
        assert!(Document::parse("# nothing\n").unwrap().root().is_empty());
    }
}
