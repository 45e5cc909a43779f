//! Listing of the files and directories that match patterns.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    candidate::{Candidate, StoredFile, is_companion, modified},
    directory_dump::{CONTENTS, is_dump_path},
    globs::{Glob, Globs},
    path::{metadata, unreadable},
    pieces,
};
use crate::{
    model::{failure::Failure, words::Reason},
    probes::backups::{
        CancelFlag,
        facts::{BackupForm, State, UnreadableFolder},
    },
};

/// Parameters of a listing.
pub(crate) struct WalkSettings<'a> {
    /// Maximum number of files and directories.
    pub(crate) max_files: usize,
    /// Whether each matching directory is a backup. Otherwise only directories of `pg_dump -Fd` are.
    pub(crate) any_directory: bool,
    /// Directory into which symbolic links are followed.
    pub(crate) links_into: Option<&'a Path>,
    /// Whether a name without the number of a piece has the time of the backup.
    pub(crate) is_dated: &'a dyn Fn(&str) -> bool,
}

/// Everything that matches.
#[derive(Debug, Default)]
pub(crate) struct WalkResult {
    /// Sorted by path, each path once.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) unreadable: Vec<UnreadableFolder>,
}

/// Maximum number of levels below a directory that is one backup.
const MAX_BACKUP_DEPTH: usize = 16;
/// Maximum number of directories that may be unreadable in one run.
const MAX_UNREADABLE: usize = 1_000;
/// Directory of the file system itself, which only root can list.
const LOST_AND_FOUND: &str = "lost+found";

/// Lists everything that matches one of the patterns.
///
/// # Errors
/// A directory that a pattern names without wildcards is missing or unreadable, all directories with possible matches
/// are unreadable, or there are too many files.
pub(crate) fn list(globs: &Globs, settings: &WalkSettings<'_>, halted: &CancelFlag) -> Result<WalkResult, Failure> {
    let links_into = match settings.links_into {
        Some(folder) => Some(folder.canonicalize().map_err(|error| unreadable(folder, &error))?),
        None => None,
    };
    let mut walk = Walk {
        settings,
        halted,
        links_into,
        left: settings.max_files,
        files: Vec::new(),
        folders: BTreeSet::new(),
        plain_folders: Vec::new(),
        dumps: BTreeSet::new(),
        candidates: Vec::new(),
        unreadable: Vec::new(),
        first_failure: None,
    };
    for glob in globs.iter() {
        if glob.is_single() {
            walk.single(glob)?;
        } else {
            walk.folder(glob, &glob.folder, 1)?;
        }
    }
    walk.finish()
}

struct Walk<'a> {
    settings: &'a WalkSettings<'a>,
    halted: &'a CancelFlag,
    links_into: Option<PathBuf>,
    left: usize,
    files: Vec<(StoredFile, String)>,
    /// Directories that match, with the path below the wildcards.
    folders: BTreeSet<(PathBuf, String)>,
    /// Matching directories that are listed anyway because of `**`.
    plain_folders: Vec<PathBuf>,
    /// Directories with a matching file of `pg_dump -Fd`.
    dumps: BTreeSet<(PathBuf, String)>,
    candidates: Vec<Candidate>,
    unreadable: Vec<UnreadableFolder>,
    /// Failure of the first unreadable directory.
    first_failure: Option<Failure>,
}

impl Walk<'_> {
    /// A path without wildcards. Symbolic links are followed, because the configuration names them.
    fn single(&mut self, glob: &Glob) -> Result<(), Failure> {
        // A missing directory is a fault; a missing file in it means that there is no backup.
        metadata(&glob.folder)?;
        let path = PathBuf::from(&glob.text);
        let below = glob.below(&path).to_string_lossy().into_owned();
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => self.keep_file(glob, &path, &found),
            Ok(found) if found.is_dir() => {
                fs::read_dir(&path).map_err(|error| unreadable(&path, &error))?;
                self.folders.insert((path, below));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
        Ok(())
    }

    fn folder(&mut self, glob: &Glob, folder: &Path, level: usize) -> Result<(), Failure> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // A directory may be deleted during the listing, but not one that the configuration names.
            Err(error) if error.kind() == io::ErrorKind::NotFound && level > 1 => return Ok(()),
            Err(error) if level > 1 && !glob.is_explicit(level - 1) => {
                return self.note_unreadable(folder, &error, false);
            }
            Err(error) => return Err(unreadable(folder, &error)),
        };
        for entry in entries {
            self.halted.check()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if level > 1 => return self.note_unreadable(folder, &error, true),
                Err(error) => return Err(unreadable(folder, &error)),
            };
            self.count(&glob.folder)?;
            let path = entry.path();
            // The type of the entry itself: links are not followed, so that no loop is entered.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                self.enter(glob, path, level)?;
            } else if kind.is_symlink() {
                self.link(glob, &path, level);
            } else if kind.is_file() && !is_companion(&path) && glob.matches(&path) {
                match entry.metadata() {
                    Ok(found) => self.keep_file(glob, &path, &found),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // A directory may be readable without search permission: names of backups are known, and nothing
                    // else.
                    Err(error) if level > 1 => return self.note_unreadable(folder, &error, true),
                    Err(error) => return Err(unreadable(&path, &error)),
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, glob: &Glob, path: PathBuf, level: usize) -> Result<(), Failure> {
        let matches = glob.matches(&path);
        if matches && self.settings.any_directory {
            let below = glob.below(&path).to_string_lossy().into_owned();
            self.folders.insert((path, below));
            return Ok(());
        }
        let name = Path::new(path.file_name().unwrap_or_default());
        let can_enter = glob.can_enter(name, level);
        if matches {
            let below = glob.below(&path).to_string_lossy().into_owned();
            if can_enter {
                self.plain_folders.push(path.clone());
            }
            self.folders.insert((path.clone(), below));
        }
        if can_enter { self.folder(glob, &path, level + 1) } else { Ok(()) }
    }

    /// A symbolic link below a wildcard. It is followed only to a file or a dump below the configured directory.
    fn link(&mut self, glob: &Glob, path: &Path, level: usize) {
        let name = Path::new(path.file_name().unwrap_or_default());
        if is_companion(path) || !(glob.matches(path) || glob.can_enter(name, level) && path.is_dir()) {
            return;
        }
        let below = glob.below(path).to_string_lossy().into_owned();
        let target = self.links_into.as_ref().and_then(|folder| {
            let target = path.canonicalize().ok().filter(|target| target.starts_with(folder))?;
            Some((fs::metadata(&target).ok()?, target))
        });
        match target {
            Some((found, target)) if found.is_file() && glob.matches(path) => {
                let file = StoredFile::new(target, &found);
                let mut candidate = Candidate::file(&file, below);
                candidate.path = path.to_owned();
                candidate.shared_inode = Some(file.inode);
                candidate.files = vec![file];
                self.candidates.push(candidate);
            }
            _ => {
                let time = path.symlink_metadata().ok().and_then(|found| modified(&found));
                self.candidates.push(Candidate::left_out(path.to_owned(), below, time, State::SymbolicLink));
            }
        }
    }

    fn keep_file(&mut self, glob: &Glob, path: &Path, found: &fs::Metadata) {
        let below = glob.below(path);
        if is_dump_path(path)
            && let Some(folder) = path.parent()
        {
            let below = below.parent().map(|below| below.to_string_lossy().into_owned()).unwrap_or_default();
            self.dumps.insert((folder.to_owned(), below));
        }
        self.files.push((StoredFile::new(path.to_owned(), found), below.to_string_lossy().into_owned()));
    }

    fn count(&mut self, folder: &Path) -> Result<(), Failure> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let (shown, max) = (folder.display(), self.settings.max_files);
            Failure::new(
                Reason::TooLarge,
                format!("more than {max} files and directories below {shown}: narrow `files` or raise `max_files`"),
            )
        })?;
        Ok(())
    }

    fn note_unreadable(&mut self, folder: &Path, error: &io::Error, has_matches: bool) -> Result<(), Failure> {
        let failure = unreadable(folder, error);
        if self.unreadable.len() >= MAX_UNREADABLE {
            return Err(failure);
        }
        let is_system = folder.file_name().is_some_and(|name| name == LOST_AND_FOUND);
        let path = folder.to_string_lossy().into_owned();
        self.unreadable.push(UnreadableFolder { path, error: error.to_string(), has_matches, is_system });
        if !is_system {
            self.first_failure.get_or_insert(failure);
        }
        Ok(())
    }

    /// Forms the candidates from everything that was found.
    fn finish(mut self) -> Result<WalkResult, Failure> {
        let mut used = HashSet::new();
        for (path, below) in std::mem::take(&mut self.dumps) {
            self.dump(path, below, &mut used)?;
        }
        for (path, below) in std::mem::take(&mut self.folders) {
            if !used.contains(&path) {
                self.matching_folder(path, below, &mut used)?;
            }
        }
        let files = std::mem::take(&mut self.files).into_iter().filter(|(file, _)| {
            !(is_dump_path(&file.path) && file.path.parent().is_some_and(|folder| used.contains(folder)))
        });
        let mut files: Vec<_> = files.collect();
        files.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        files.dedup_by(|a, b| a.0.path == b.0.path);
        if self.links_into.is_some() {
            // A followed link has another name than its target, which has one link in the file system.
            files.iter_mut().for_each(|(file, _)| file.links = file.links.max(2));
        }
        self.candidates.extend(pieces::join(files, self.settings.is_dated));
        self.candidates.sort_by(|a, b| a.path.cmp(&b.path));
        self.candidates.dedup_by(|a, b| a.path == b.path && a.form == b.form);
        match self.first_failure {
            Some(failure) if self.candidates.is_empty() => Err(failure),
            _ => Ok(WalkResult { candidates: self.candidates, unreadable: self.unreadable }),
        }
    }

    /// A directory with files of `pg_dump -Fd`.
    fn dump(&mut self, path: PathBuf, below: String, used: &mut HashSet<PathBuf>) -> Result<(), Failure> {
        if used.contains(&path) {
            return Ok(());
        }
        let Some(files) = self.files_in(&path, 0)? else { return Ok(()) };
        let (files, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_dump_path(&file.path));
        // Without a table of contents, only a directory below the wildcards that holds nothing else is a dump.
        let has_contents = files.iter().any(|file| file.path.ends_with(CONTENTS));
        if has_contents || !below.is_empty() && others.iter().all(|file| is_companion(&file.path)) {
            self.dump_of(path, below, files, used);
        }
        Ok(())
    }

    /// A directory that matches a pattern.
    fn matching_folder(&mut self, path: PathBuf, below: String, used: &mut HashSet<PathBuf>) -> Result<(), Failure> {
        if path.ancestors().skip(1).any(|above| used.contains(above)) {
            return Ok(());
        }
        let depth = if self.settings.any_directory { MAX_BACKUP_DEPTH } else { 0 };
        let Some(files) = self.files_in(&path, depth)? else { return Ok(()) };
        let dump_files: Vec<_> = files
            .iter()
            .filter(|file| file.path.parent() == Some(&path) && is_dump_path(&file.path))
            .cloned()
            .collect();
        if !dump_files.is_empty() {
            self.dump_of(path, below, dump_files, used);
        } else if self.settings.any_directory {
            used.insert(path.clone());
            self.candidates.push(Candidate::of_files(path, below, BackupForm::Directory, files));
        } else if !self.plain_folders.contains(&path) {
            let time = files.iter().filter_map(|file| file.modified).max();
            self.candidates.push(Candidate::left_out(path, below, time, State::Directory));
        }
        Ok(())
    }

    fn dump_of(&mut self, path: PathBuf, below: String, mut files: Vec<StoredFile>, used: &mut HashSet<PathBuf>) {
        let is_contents = |file: &StoredFile| file.path.ends_with(CONTENTS);
        files.sort_by(|a, b| is_contents(b).cmp(&is_contents(a)).then_with(|| a.path.cmp(&b.path)));
        let contents = files.first().filter(|file| is_contents(file)).cloned();
        let mut candidate = Candidate::of_files(path.clone(), below, BackupForm::Directory, files);
        match contents {
            Some(contents) => {
                candidate.modified = contents.modified;
                if contents.size == 0 {
                    candidate.state = Some((State::Unfinished, "toc.dat is empty".to_owned()));
                }
            }
            None => {
                candidate.state = Some((State::Unfinished, "toc.dat, which pg_dump writes last, is missing".to_owned()))
            }
        }
        used.insert(path);
        self.candidates.push(candidate);
    }

    /// The regular files in a directory, and in directories below it down to a depth. `None` for an unreadable
    /// directory, which is noted.
    fn files_in(&mut self, folder: &Path, depth: usize) -> Result<Option<Vec<StoredFile>>, Failure> {
        let mut found = Vec::new();
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((next, level)) = folders.pop() {
            let entries = match fs::read_dir(&next) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    self.note_unreadable(&next, &error, false)?;
                    return Ok(None);
                }
            };
            for entry in entries {
                self.halted.check()?;
                let found_metadata = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)));
                self.count(folder)?;
                match found_metadata {
                    Ok((path, metadata)) if metadata.is_file() => found.push(StoredFile::new(path, &metadata)),
                    Ok((path, metadata)) if metadata.is_dir() && level < depth => folders.push((path, level + 1)),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        self.note_unreadable(&next, &error, true)?;
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests;
