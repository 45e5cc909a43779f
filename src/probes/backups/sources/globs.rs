//! Patterns on paths: the setting `files`.

use std::{
    borrow::Cow,
    fmt,
    path::{Component, Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::{pattern::check_glob, text::one_line};

/// One pattern or a list of patterns.
#[derive(Debug)]
pub struct Globs(Vec<Glob>);

/// An absolute path that may have wildcards: a directory without wildcards, and a pattern below it.
#[derive(Debug)]
pub(crate) struct Glob {
    pub(crate) text: String,
    /// The longest directory before the first wildcard.
    pub(crate) folder: PathBuf,
    /// Matcher of paths below the directory. `None` for a path without wildcards.
    below: Option<GlobMatcher>,
    /// The part of the pattern for each level of directories. Empty if the pattern can't be divided, as with
    /// `{a/b,c}`.
    levels: Vec<PathLevel>,
    /// Maximum number of levels of directories.
    pub(crate) depth: usize,
}

/// Part of a pattern for one level of directories.
#[derive(Debug)]
struct PathLevel {
    /// `None` for `**`, which matches any number of levels.
    matcher: Option<GlobMatcher>,
    /// Whether the part names directories without `*`, `?` and `[`.
    is_explicit: bool,
}

/// Maximum number of levels that `**` matches.
const MAX_DEPTH: usize = 16;

impl Globs {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Glob> {
        self.0.iter()
    }
}

impl Glob {
    /// The part of a path that the pattern matches.
    pub(crate) fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.folder).unwrap_or(path)
    }

    /// Whether the pattern has no wildcard.
    pub(crate) fn is_single(&self) -> bool {
        self.below.is_none()
    }

    /// Whether the pattern matches a path.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        match &self.below {
            Some(matcher) => matcher.is_match(self.below(path)),
            None => path == Path::new(&self.text),
        }
    }

    /// Whether files below a directory on a level can match. The first level is 1.
    pub(crate) fn can_enter(&self, name: &Path, level: usize) -> bool {
        if level >= self.depth {
            return false;
        }
        let recursive = self.levels.iter().position(|level| level.matcher.is_none()).unwrap_or(usize::MAX);
        let part = self.levels.get(level - 1).filter(|_| level - 1 < recursive);
        part.and_then(|part| part.matcher.as_ref()).is_none_or(|matcher| matcher.is_match(name))
    }

    /// Whether the pattern names a directory on a level, and all directories above it, without `*`, `?` and `[`.
    pub(crate) fn is_explicit(&self, level: usize) -> bool {
        self.levels.get(..level).is_some_and(|levels| levels.iter().all(|level| level.is_explicit))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if !path.is_absolute() {
            return Err(format!(
                "`{text}` must be an absolute path: a daemon has no directory of its own to start from"
            ));
        }
        let parts: Vec<_> = path.components().collect();
        if parts.contains(&Component::ParentDir) {
            return Err(format!("`{text}`: write the path without `..`"));
        }
        let is_wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
        let fixed = parts.iter().position(is_wild);
        let (folder, rest) = parts.split_at(fixed.unwrap_or(parts.len() - 1));
        if rest.is_empty() || rest == [Component::RootDir] {
            return Err(format!("`{text}` names no file: write the directory and a pattern, as in /backups/*.dump"));
        }
        check_glob(text).map_err(|why| format!("`{}` {why}", one_line(text)))?;
        let compile = |pattern: &str| GlobBuilder::new(pattern).literal_separator(true).build();
        let pattern = rest.iter().collect::<PathBuf>();
        // The whole pattern is one expression, so that `{a/b,c}` has its meaning in a shell.
        let below = fixed.map(|_| compile(&pattern.to_string_lossy())).transpose();
        let below = below.map_err(|error| format!("`{text}` is no pattern: {}", error.kind()))?;
        let parts: Vec<_> = rest.iter().map(|part| part.as_os_str().to_string_lossy()).collect();
        let level = |part: &Cow<'_, str>| {
            let matcher = match part.as_ref() {
                "**" => None,
                part => Some(compile(part).ok()?.compile_matcher()),
            };
            Some(PathLevel { matcher, is_explicit: !part.contains(['*', '?', '[']) })
        };
        let is_divisible = parts.iter().all(|part| is_balanced(part));
        let levels = if is_divisible { parts.iter().map(level).collect::<Option<_>>() } else { None };
        Ok(Self {
            text: text.to_owned(),
            folder: folder.iter().collect(),
            below: below.map(|glob| glob.compile_matcher()),
            levels: levels.unwrap_or_default(),
            depth: if parts.iter().any(|part| part == "**") { MAX_DEPTH } else { parts.len() },
        })
    }
}

/// Whether braces and brackets are closed in a part of a pattern.
fn is_balanced(part: &str) -> bool {
    let count = |wanted: char| part.chars().filter(|c| *c == wanted).count();
    count('{') == count('}') && count('[') == count(']')
}

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Globs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an absolute path with wildcards, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Globs, E> {
                Glob::parse(text).map(|glob| Globs(vec![glob])).map_err(E::custom)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Globs, A::Error> {
                let mut globs = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    globs.push(Glob::parse(&text).map_err(de::Error::custom)?);
                }
                if globs.is_empty() {
                    return Err(de::Error::custom("the list is empty: name at least one pattern"));
                }
                Ok(Globs(globs))
            }
        }
        from.deserialize_any(OneOrMany)
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(at, glob)| write!(f, "{}{}", if at > 0 { ", " } else { "" }, glob.text))
    }
}

impl Serialize for Globs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|glob| &glob.text))
    }
}

impl JsonSchema for Globs {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Globs".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({"type": "string", "pattern": "^/", "examples": ["/backups/orders-*.dump"]});
        json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_can_not_work_are_refused() {
        for bad in ["backups/*.dump", "", "/", "/backups/../*.dump", "/backups/[", "/backups/{a"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_value::<Globs>(serde_json::json!([])).is_err());
    }

    #[test]
    fn only_directories_below_which_a_file_can_match_are_entered() {
        for (pattern, name, level, can_enter, is_explicit) in [
            ("/b/*/x.sql", "any", 1, true, false),
            ("/b/*/x.sql", "any", 2, false, false),
            ("/b/orders*/x.sql", "lost+found", 1, false, false),
            ("/b/{orders,users}/x.sql", "orders", 1, true, true),
            ("/b/{orders,users}/x.sql", "other", 1, false, true),
            ("/b/*/daily/x.sql", "daily", 2, true, false),
            ("/b/*/daily/x.sql", "weekly", 2, false, false),
            ("/b/**/daily/x.sql", "weekly", 2, true, false),
            ("/b/a*/**/x.sql", "other", 1, false, false),
            ("/b/{a/b,c}/x.sql", "other", 1, true, false),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(glob.can_enter(Path::new(name), level), can_enter, "{pattern} {name} {level}");
            assert_eq!(glob.is_explicit(level), is_explicit, "{pattern} {level}");
        }
    }
}
