//! Verification of a directory of `pg_dump -Fd`: the table of contents, and every data file that it names.
//!
//! Format: PostgreSQL's src/bin/pg_dump/pg_backup_directory.c. `toc.dat` is the table of contents in the form of the tar
//! format, and names the file of each entry with data. `blobs.toc` names the files of large objects, one in a line. A
//! compressed file has the additional extension `.gz`, `.lz4` or `.zst`.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::{
    Defect,
    content::Evidence,
    files::within,
    pg_dump::{DataFile, DirectoryContents},
    stream::Stream,
};
use crate::probes::backups::sources::{
    candidate::Candidate,
    directory_dump::{CONTENTS, is_data_file},
};

/// A directory that is partly read.
#[derive(Debug)]
pub(super) struct DirectoryReader {
    /// Paths of the files in the directory, by name.
    found: HashMap<String, PathBuf>,
    index: DumpIndex,
    /// Expected files that are not read yet, by path.
    expected: HashMap<PathBuf, DataKind>,
    /// Verifications of the data files.
    verified: BTreeSet<&'static str>,
    /// The first file without evidence, and the cause.
    unverified: Option<String>,
}

/// The index of files that is being read, or the data files after it.
#[derive(Debug)]
enum DumpIndex {
    Table(DirectoryContents),
    Data,
    /// An index of large objects.
    Objects(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataKind {
    /// Rows of `COPY`, which end with a mark.
    Rows,
    /// Statements or a large object, without a mark.
    Unmarked,
    /// Index of large objects.
    Objects,
}

/// Maximum size of an index of large objects.
const MAX_INDEX_BYTES: usize = 64 << 20;

impl DirectoryReader {
    /// Starts with the table of contents.
    ///
    /// # Errors
    /// `Unverifiable`: the directory has no table of contents, so its format is not known.
    pub(super) fn new(backup: &Candidate) -> Result<Self, Defect> {
        let paths = backup.file_paths().into_iter();
        let found: HashMap<_, _> = paths.map(|path| (name(&path).to_owned(), path)).collect();
        if !found.contains_key(CONTENTS) {
            return Err(Defect::Unverifiable(
                "it is not a directory of pg_dump: only those are read, so prove it by a restore".to_owned(),
            ));
        }
        Ok(Self {
            found,
            index: DumpIndex::Table(DirectoryContents::default()),
            expected: HashMap::new(),
            verified: BTreeSet::new(),
            unverified: None,
        })
    }

    /// Whether the current file is an index, which is not decompressed.
    pub(super) fn reads_index(&self) -> bool {
        !matches!(self.index, DumpIndex::Data)
    }

    /// Reads the next bytes of an index.
    pub(super) fn feed_index(&mut self, piece: &[u8]) {
        match &mut self.index {
            DumpIndex::Table(table) => table.feed(piece),
            DumpIndex::Objects(index) if index.len() <= MAX_INDEX_BYTES => index.extend_from_slice(piece),
            DumpIndex::Objects(_) | DumpIndex::Data => {}
        }
    }

    /// Ends a file. Returns the files to read after it.
    ///
    /// # Errors
    /// `Damaged`: the file is incomplete, or a file that it names is missing.
    pub(super) fn end_of_file(&mut self, path: &Path, stream: Option<Stream>) -> Result<Vec<PathBuf>, Defect> {
        let next = match std::mem::replace(&mut self.index, DumpIndex::Data) {
            DumpIndex::Table(table) => {
                let files = table.finish().map_err(|defect| within(path, defect))?;
                files.into_iter().map(|file| self.expect(&file, CONTENTS)).collect::<Result<Vec<_>, _>>()?
            }
            DumpIndex::Objects(index) => self.read_objects(path, &index)?,
            DumpIndex::Data => {
                self.end_of_data(path, stream)?;
                Vec::new()
            }
        };
        Ok(next)
    }

    /// Prepares for the next file.
    pub(super) fn start_file(&mut self, path: &Path) {
        if self.expected.get(path) == Some(&DataKind::Objects) {
            self.index = DumpIndex::Objects(Vec::new());
        }
    }

    /// Verifications of the whole directory.
    ///
    /// # Errors
    /// `Unverifiable`: nothing proves that a file is complete, and there is no checksum file.
    pub(super) fn finish(self, has_checksum: bool) -> Result<Vec<&'static str>, Defect> {
        let is_object = |name: &&String| name.starts_with("blob_");
        let mut unnamed: Vec<_> = self
            .found
            .iter()
            .filter(|(name, path)| is_object(name) && !self.expected.contains_key(*path))
            .map(|(name, _)| name)
            .collect();
        unnamed.sort();
        if let Some(name) = unnamed.first() {
            return Err(Defect::Damaged(format!("{name} is in no index of large objects: an index was cut short")));
        }
        match self.unverified {
            Some(cause) if !has_checksum => Err(Defect::Unverifiable(cause)),
            _ => Ok(std::iter::once("table of contents").chain(self.verified).collect()),
        }
    }

    fn expect(&mut self, file: &DataFile, index: &str) -> Result<PathBuf, Defect> {
        // A table of contents is untrusted: it may name files of other directories.
        if !is_data_file(&file.name) {
            return Err(Defect::Damaged(format!("{index} names a file that pg_dump does not write")));
        }
        let ends = ["", ".gz", ".zst", ".lz4"];
        let path = ends.iter().find_map(|end| self.found.get(&format!("{}{end}", file.name)));
        let path = path.ok_or_else(|| Defect::Damaged(format!("{index} names {}, which is missing", file.name)))?;
        let kind = match (file.name.strip_suffix(".toc"), file.has_rows) {
            (Some(_), _) => DataKind::Objects,
            (None, true) => DataKind::Rows,
            (None, false) => DataKind::Unmarked,
        };
        self.expected.insert(path.clone(), kind);
        Ok(path.clone())
    }

    /// Reads an index of large objects: the number of the object and the name of its file in each line.
    fn read_objects(&mut self, path: &Path, index: &[u8]) -> Result<Vec<PathBuf>, Defect> {
        let index_name = name(path).to_owned();
        if index.len() > MAX_INDEX_BYTES {
            return Err(Defect::Unverifiable(format!("{index_name} is larger than 64MiB")));
        }
        if !index.is_empty() && index.last() != Some(&b'\n') {
            return Err(Defect::Damaged(format!("{index_name}: cut short")));
        }
        let text = String::from_utf8_lossy(index);
        let lines = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.to_owned());
        lines.map(|name| self.expect(&DataFile { name, has_rows: false }, &index_name)).collect()
    }

    fn end_of_data(&mut self, path: &Path, stream: Option<Stream>) -> Result<(), Defect> {
        let kind = self.expected.get(path).copied().unwrap_or(DataKind::Unmarked);
        let (compressed, evidence) = match stream.map(Stream::finish).transpose() {
            Ok(found) => found.unwrap_or((None, Evidence::Unknown)),
            Err(defect) => return Err(within(path, defect)),
        };
        let file = name(path);
        match (kind, evidence, compressed) {
            (DataKind::Rows, Evidence::Complete(mark), compressed) => {
                self.verified.extend(compressed.into_iter().chain([mark]));
            }
            _ if file.ends_with(".lz4") => self.not_verified(&format!("{file} is compressed with lz4")),
            (DataKind::Rows, ..) => {
                return Err(Defect::Damaged(format!("{file}: cut short: the end of the rows is missing")));
            }
            (_, _, Some(compressed)) => drop(self.verified.insert(compressed)),
            (_, _, None) => self.not_verified(&format!("{file} has neither a checksum nor an end mark")),
        }
        Ok(())
    }

    fn not_verified(&mut self, cause: &str) {
        self.unverified.get_or_insert_with(|| {
            format!("{cause}: compress with gzip or zstd, or write the checksums of all files to DIRECTORY.sha256")
        });
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
