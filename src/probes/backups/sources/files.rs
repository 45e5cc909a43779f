//! The source `files`: which files are backups, by patterns on their paths.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    model::{failure::Failure, pattern::check_glob, text::one_line, words::Reason},
    probes::backups::CancelFlag,
};

/// One pattern or several.
#[derive(Debug)]
pub struct Globs(Vec<Glob>);

/// An absolute path that may have wildcards: a folder without any, and a pattern below it.
#[derive(Debug)]
struct Glob {
    text: String,
    folder: PathBuf,
    /// On paths below the folder; `None` where there is no wildcard, and the path is one file.
    below: Option<GlobMatcher>,
    depth: usize,
}

/// A file that matches.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// The path below the folder without wildcards, where a time may stand.
    pub(crate) below: String,
    pub(crate) size: u64,
    /// `None` where the file system does not say, or says something absurd.
    pub(crate) modified: Option<Timestamp>,
    /// Device and inode of a file with several names: its hard links have the same.
    pub(crate) shared_inode: Option<(u64, u64)>,
}

/// `**` goes this deep.
const MAX_DEPTH: usize = 16;
/// What tools call a file that they are still writing.
const UNFINISHED: [&str; 6] = ["part", "partial", "tmp", "temp", "incomplete", "filepart"];
/// What stands beside a backup and isn't one.
const BESIDE: [&str; 7] = ["sha256", "sha512", "sha1", "md5", "asc", "sig", "minisig"];

impl File {
    /// Whether its name says that it isn't finished: `.part` and the like at its end, or a dot at its start, which
    /// is how rsync names what it is receiving.
    pub(crate) fn is_unfinished(&self) -> bool {
        let hidden =
            Path::new(&self.below).components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        hidden || has_extension(&self.path, &UNFINISHED)
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default();
    extensions.iter().any(|unfit| extension.eq_ignore_ascii_case(unfit))
}

impl Globs {
    /// Every file that matches, each once, under the first of its names. A folder that can't be listed is a failure, even where others can.
    pub(crate) fn list(&self, most: usize, halted: &CancelFlag) -> Result<Vec<File>, Failure> {
        let mut walk = Walk { found: Vec::new(), left: most, most, halted };
        for glob in &self.0 {
            match &glob.below {
                None => walk.single(glob)?,
                Some(pattern) => walk.folder(glob, pattern, &glob.folder, 1)?,
            }
        }
        let mut found = walk.found;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        // Hard links are names of one backup: if its blocks are lost, all of them are.
        let mut seen = HashSet::new();
        found.retain(|file| file.shared_inode.is_none_or(|inode| seen.insert(inode)));
        Ok(found)
    }
}

struct Walk<'a> {
    found: Vec<File>,
    left: usize,
    most: usize,
    halted: &'a CancelFlag,
}

impl Walk<'_> {
    fn single(&mut self, glob: &Glob) -> Result<(), Failure> {
        // The folder first: that it is gone is a fault, that the file is not there is "no backup".
        metadata(&glob.folder)?;
        let path = PathBuf::from(&glob.text);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => self.keep(glob, path, &metadata),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
        Ok(())
    }

    fn folder(&mut self, glob: &Glob, pattern: &GlobMatcher, folder: &Path, level: usize) -> Result<(), Failure> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // A folder that was there a moment ago may go; the one that is configured may not.
            Err(error) if error.kind() == io::ErrorKind::NotFound && level > 1 => return Ok(()),
            Err(error) => return Err(unreadable(folder, &error)),
        };
        for entry in entries {
            self.halted.check()?;
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                let (shown, most) = (glob.folder.display(), self.most);
                Failure::new(
                    Reason::TooLarge,
                    format!("more than {most} files and folders below {shown}: narrow `files` or raise `max_files`"),
                )
            })?;
            let path = entry.path();
            // The type of the entry itself: a link is neither a file nor a folder, so `latest` isn't counted twice
            // and no loop is walked.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && level < glob.depth {
                self.folder(glob, pattern, &path, level + 1)?;
            } else if kind.is_file() && !has_extension(&path, &BESIDE) && pattern.is_match(glob.below(&path)) {
                match entry.metadata() {
                    Ok(metadata) => self.keep(glob, path, &metadata),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(unreadable(&path, &error)),
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, glob: &Glob, path: PathBuf, metadata: &fs::Metadata) {
        let below = glob.below(&path).to_string_lossy().into_owned();
        let modified = i32::try_from(metadata.mtime_nsec()).ok();
        let modified = modified.and_then(|nanos| Timestamp::new(metadata.mtime(), nanos).ok());
        let shared_inode = (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino()));
        self.found.push(File { path, below, size: metadata.len(), modified, shared_inode });
    }
}

impl Glob {
    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.folder).unwrap_or(path)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if !path.is_absolute() {
            return Err(format!("`{text}` must be an absolute path: a daemon has no folder of its own to start from"));
        }
        let parts: Vec<_> = path.components().collect();
        if parts.contains(&Component::ParentDir) {
            return Err(format!("`{text}`: write the path without `..`"));
        }
        let is_wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
        let fixed = parts.iter().position(is_wild);
        let (folder, rest) = parts.split_at(fixed.unwrap_or(parts.len() - 1));
        if rest.is_empty() || rest == [Component::RootDir] {
            return Err(format!("`{text}` names no file: write the folder and a pattern, as in /backups/*.dump"));
        }
        check_glob(text).map_err(|why| format!("`{}` {why}", one_line(text)))?;
        let pattern = rest.iter().collect::<PathBuf>();
        let deep = rest.iter().any(|part| part.as_os_str() == "**");
        let below = fixed.map(|_| {
            // The whole pattern is one glob, so `{a,b}` and `[..]` mean what they mean in a shell.
            GlobBuilder::new(&pattern.to_string_lossy()).literal_separator(true).build()
        });
        let below = below.transpose().map_err(|error| format!("`{text}` is no pattern: {}", error.kind()))?;
        Ok(Self {
            text: text.to_owned(),
            folder: folder.iter().collect(),
            below: below.map(|glob| glob.compile_matcher()),
            depth: if deep { MAX_DEPTH } else { rest.len() },
        })
    }
}

/// What a path is, or why that can't be told.
pub(crate) fn metadata(path: &Path) -> Result<fs::Metadata, Failure> {
    fs::metadata(path).map_err(|error| unreadable(path, &error))
}

/// Whether something is mounted at a folder: it is on another device than the folder around it, or is the root.
/// A folder that is bound to another one of the same file system can't be told this way.
pub(crate) fn is_mount_point(folder: &Path) -> Result<bool, Failure> {
    let (inside, outside) = (metadata(folder)?, metadata(&folder.join(".."))?);
    Ok(inside.dev() != outside.dev() || inside.ino() == outside.ino())
}

/// A path that could not be looked at.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let (reason, advice) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (Reason::NotFound, "is it mounted, is `files` right?")
        }
        io::ErrorKind::PermissionDenied => (Reason::Permission, "let the user that this program runs as read it"),
        io::ErrorKind::TimedOut => (Reason::Timeout, "does the file server answer?"),
        _ => (Reason::Unreachable, "is the file system healthy, does the file server answer?"),
    };
    Failure::new(reason, format!("{shown} can't be read: {error}; {advice}"))
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
    use crate::probes::backups::halt;

    fn globs(patterns: &[String]) -> Globs {
        serde_json::from_value(serde_json::json!(patterns)).unwrap()
    }

    fn names(root: &Path, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|pattern| format!("{}/{pattern}", root.display())).collect();
        let (_halt, halted) = halt();
        let found = globs(&patterns).list(1_000, &halted).unwrap();
        found.iter().map(|file| file.path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn patterns_stay_within_a_folder_unless_told_otherwise() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("2026/11")).unwrap();
        for name in ["a.dump", "b.dump", "b.dump.sha256", "c.sql", "2026/d.dump", "2026/11/e.dump"] {
            fs::write(root.join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(root.join("b.dump"), root.join("latest.dump")).unwrap();
        std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
        fs::hard_link(root.join("b.dump"), root.join("weekly.dump")).unwrap();
        assert_eq!(names(root, &["*.dump"]), ["a.dump", "b.dump"]);
        assert_eq!(names(root, &["*"]), ["a.dump", "b.dump", "c.sql"]);
        assert_eq!(names(root, &["*/*.dump"]), ["2026/d.dump"]);
        assert_eq!(names(root, &["**/*.dump"]), ["2026/11/e.dump", "2026/d.dump", "a.dump", "b.dump"]);
        assert_eq!(names(root, &["{a,c}.*", "a*"]), ["a.dump", "c.sql"]);
        assert_eq!(names(root, &["latest.dump"]), ["latest.dump"]);
        assert_eq!(names(root, &["gone.dump"]), Vec::<String>::new());
        let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"z\xff.odd");
        fs::write(root.join::<&std::ffi::OsStr>(odd), "x").unwrap();
        assert_eq!(names(root, &["*.odd"]), ["z\u{fffd}.odd"]);
    }

    #[test]
    fn a_folder_that_is_gone_or_has_too_much_in_it_is_a_failure() {
        let root = tempfile::tempdir().unwrap();
        let (_halt, halted) = halt();
        let list = |pattern: &str, most| {
            globs(&[format!("{}/{pattern}", root.path().display())]).list(most, &halted).unwrap_err()
        };
        assert_eq!(list("gone/*.dump", 10).reason, Reason::NotFound);
        assert_eq!(list("gone/a.dump", 10).reason, Reason::NotFound);
        for n in 0..11 {
            fs::write(root.path().join(format!("{n}")), "").unwrap();
        }
        assert_eq!(list("*.dump", 10).reason, Reason::TooLarge);
    }

    #[test]
    fn listing_stops_when_the_run_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "").unwrap();
        let (halt, halted) = halt();
        drop(halt);
        let failure = globs(&[format!("{}/*", root.path().display())]).list(10, &halted).unwrap_err();
        assert_eq!(failure.reason, Reason::Canceled);
    }

    #[test]
    fn patterns_that_can_not_work_are_refused() {
        for bad in ["backups/*.dump", "", "/", "/backups/../*.dump", "/backups/[", "/backups/{a"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_value::<Globs>(serde_json::json!([])).is_err());
    }

    #[test]
    fn a_plain_folder_is_no_mount_point() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(root.path()).unwrap());
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert_eq!(is_mount_point(&root.path().join("gone")).unwrap_err().reason, Reason::NotFound);
    }
}
