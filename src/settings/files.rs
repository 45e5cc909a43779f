//! Loads the configuration files: one file or a folder, and their includes.
//!
//! No path can block the process or exhaust its memory: only regular files are opened, and their size is limited.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Component, Path, PathBuf},
};

use globset::GlobBuilder;

use super::{interpolate::Scope, text_file::read_text};
use crate::{
    document::{Diagnostics, Location, Node, NodeValue},
    io::file_deadline,
    model::{pattern::check_glob, text::one_line},
};

/// Largest file; enough for more than ten thousand probes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most files of a configuration.
const MAX_FILES: usize = 1_000;

/// Loads a file, or all `*.yaml` and `*.yml` files of a folder in alphabetical order, with their includes.
pub(super) fn load(path: &Path, environment: &BTreeMap<String, String>, problems: &mut Diagnostics) -> Vec<Node> {
    let mut loader = Loader { environment, problems, seen: HashSet::new(), open: Vec::new(), documents: Vec::new() };
    let folder = path.to_owned();
    match file_deadline::access(move || folder.is_dir()) {
        Ok(true) => {}
        Ok(false) => {
            loader.load_file(path, Location::default());
            return loader.documents;
        }
        Err(why) => {
            loader.problems.push(Location::default(), format!("{} {why}", path.display()), None);
            return loader.documents;
        }
    }
    match list_folder(path) {
        Ok(files) => {
            let is_yaml = |path: &PathBuf| {
                let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
                !hidden && path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml") && !path.is_dir()
            };
            let files: Vec<_> = files.into_iter().filter(is_yaml).collect();
            if files.is_empty() {
                let message = format!("the folder {} contains no *.yaml or *.yml file", path.display());
                loader.problems.push(Location::default(), message, None);
            }
            files.iter().for_each(|file| loader.load_file(file, Location::default()));
        }
        Err(why) => loader.problems.push(Location::default(), format!("the folder {} {why}", path.display()), None),
    }
    loader.documents
}

struct Loader<'a> {
    environment: &'a BTreeMap<String, String>,
    problems: &'a mut Diagnostics,
    /// Loaded files; each file is loaded once, even if several includes name it.
    seen: HashSet<PathBuf>,
    /// Files being loaded, outermost first.
    open: Vec<PathBuf>,
    documents: Vec<Node>,
}

impl Loader<'_> {
    /// Loads a file and its includes. `from` is the location of the include.
    fn load_file(&mut self, path: &Path, from: Location) {
        // Different paths may denote the same file. A path that can't be resolved can't be read either, which is
        // reported below.
        let written = path.to_owned();
        let whole = match file_deadline::access(move || written.canonicalize().unwrap_or(written)) {
            Ok(whole) => whole,
            Err(why) => return self.problems.push(from, format!("{} {why}", path.display()), None),
        };
        if self.open.contains(&whole) {
            let message = format!("{} includes itself, directly or through others", path.display());
            return self.problems.push(from, message, None);
        }
        if !self.seen.insert(whole.clone()) {
            return;
        }
        if self.seen.len() > MAX_FILES {
            return self.problems.push(from, format!("more than {MAX_FILES} files"), None);
        }
        let text = match read_text(path, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(why) => return self.problems.push(from, format!("{} {why}", path.display()), None),
        };
        let Some(mut document) = self.problems.parse(path.display().to_string(), text.into()) else { return };
        let folder = path.parent().unwrap_or(Path::new(""));
        Scope { environment: self.environment, folder }.resolve(&mut document, self.problems);
        let includes = take_key(&mut document, "include");
        self.documents.push(document);
        if let Some(includes) = includes {
            self.open.push(whole);
            self.load_includes(&includes, folder);
            self.open.pop();
        }
    }

    fn load_includes(&mut self, includes: &Node, folder: &Path) {
        let NodeValue::List(items) = &includes.value else {
            return self.problems.push_expected(includes, "a list of files and patterns");
        };
        for item in items {
            let Some(pattern) = item.text() else {
                self.problems.push_expected(item, "the name of a file or a pattern");
                continue;
            };
            if !pattern.contains(['*', '?', '[', '{']) {
                self.load_file(&folder.join(pattern), item.location);
                continue;
            }
            match matching_files(folder, pattern) {
                Ok(files) => files.iter().for_each(|file| self.load_file(file, item.location)),
                Err(why) => self.problems.push(item.location, item.mask_interpolated(why), None),
            }
        }
    }
}

/// Removes a key from a map and returns its value.
pub(super) fn take_key(node: &mut Node, key: &str) -> Option<Node> {
    let NodeValue::Map(entries) = &mut node.value else { return None };
    let at = entries.iter().position(|entry| &*entry.key == key)?;
    Some(entries.remove(at).node)
}

/// Returns the files that match a pattern, in alphabetical order. Each component is matched against the entries of one
/// folder. Hidden entries match only a component that begins with a dot.
fn matching_files(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![folder.to_owned()];
    for part in Path::new(pattern).components() {
        let Component::Normal(part) = part else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let text = part.to_string_lossy();
        if !text.contains(['*', '?', '[', '{']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        if text == "**" {
            return Err("`**` is not supported: name the folders, as in conf.d/*/*.yaml".to_owned());
        }
        check_glob(&text).map_err(|why| format!("`{}` {why}", one_line(&*text)))?;
        let glob = GlobBuilder::new(&text).literal_separator(true).build();
        let glob = glob.map_err(|error| format!("`{pattern}` is not a pattern: {}", error.kind()))?.compile_matcher();
        let mut next = Vec::new();
        for folder in &found {
            // A missing folder has no matching files, which is no error of a pattern.
            for path in list_folder(folder).unwrap_or_default() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if glob.is_match(&name) && (!name.starts_with('.') || text.starts_with('.')) {
                    next.push(path);
                }
            }
        }
        if next.len() > MAX_FILES {
            return Err(format!("`{pattern}` matches more than {MAX_FILES} files"));
        }
        found = next;
    }
    Ok(found.into_iter().filter(|path| path.exists() && !path.is_dir()).collect())
}

/// Lists a folder in alphabetical order.
fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() };
    file_deadline::access(move || read_folder(&folder))?
}

fn read_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("can't be read: {error}");
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
        if paths.len() > 10 * MAX_FILES {
            return Err(format!("has more than {} entries", 10 * MAX_FILES));
        }
    }
    paths.sort();
    Ok(paths)
}
