//! Parser of decompressed content: a pg_dump archive, a tar archive, or an SQL dump that must end with its closing line.
//!
//! The closing line matters most for a dump that is compressed while it is written: if pg_dump fails, `pg_dump | gzip`
//! leaves a valid gzip file with half a database or nothing in it.

use std::path::Path;

use super::{Defect, pg_dump, tar};

/// Content that is partly read.
#[derive(Debug, Default)]
pub(super) struct Content {
    form: Form,
    /// The first bytes until the form is known, then the last ones.
    kept: Vec<u8>,
    /// Whether any byte is neither zero nor white space.
    has_content: bool,
}

/// Evidence in content that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The form proves that nothing is missing, by this property.
    Complete(&'static str),
    /// The form proves nothing.
    Unknown,
    /// The content is compressed or encrypted in a form that is not read here.
    Foreign(&'static str),
}

/// The form that the name of a file promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    SqlDump,
    TarArchive,
    /// `.dump`: an SQL dump or a pg_dump archive.
    Dump,
}

#[derive(Debug, Default)]
enum Form {
    #[default]
    Undecided,
    Archive(Box<pg_dump::Archive>),
    Tar(Box<tar::TarReader>),
    Sql(&'static str),
    Foreign(&'static str),
    Data,
    Other,
}

/// First and last lines of SQL dumps.
const SQL: [(&str, &str); 4] = [
    ("-- PostgreSQL database dump", "-- PostgreSQL database dump complete"),
    ("-- PostgreSQL database cluster dump", "-- PostgreSQL database cluster dump complete"),
    ("-- MySQL dump", "-- Dump completed"),
    ("-- MariaDB dump", "-- Dump completed"),
];
/// Forms that are recognized and not read, by their first bytes.
const FOREIGN: [(&[u8], &str); 10] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"LZIP", "lzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"PK\x03\x04", "zip"),
    (b"age-encryption.org/", "age"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
    (b"-----BEGIN PGP MESSAGE-----", "OpenPGP"),
    (b"Salted__", "openssl enc"),
];
/// Names of files that begin with arbitrary bytes in their form.
const FOREIGN_NAMES: [(&str, &str); 4] =
    [("gpg", "OpenPGP"), ("pgp", "OpenPGP"), ("age", "age"), ("enc", "encryption")];
/// Number of bytes that contain the first line, and number of bytes at the end that contain the last line.
const HEAD: usize = 512;
const TAIL: usize = 4096;

/// Expected content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// A complete backup.
    Whole,
    /// A data file of `pg_dump -Fd`: rows, or a large object, which may be empty or hold any bytes.
    Data,
}

/// End of the rows of a table, as pg_dump writes it.
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

impl Content {
    pub(super) fn new(kind: ContentKind) -> Self {
        let form = if kind == ContentKind::Data { Form::Data } else { Form::Undecided };
        Self { form, ..Self::default() }
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.has_content = self.has_content || piece.iter().any(|byte| *byte != 0 && !byte.is_ascii_whitespace());
        match &mut self.form {
            Form::Other | Form::Foreign(_) => {}
            Form::Data => {
                let last = piece.get(piece.len().saturating_sub(END_OF_ROWS.len())..).unwrap_or_default();
                self.kept.extend_from_slice(last);
                self.kept.drain(..self.kept.len().saturating_sub(END_OF_ROWS.len()));
            }
            Form::Archive(archive) => archive.feed(piece),
            Form::Tar(archive) => archive.feed(piece),
            Form::Undecided => {
                self.kept.extend_from_slice(piece);
                if self.kept.len() >= HEAD {
                    self.decide();
                }
            }
            Form::Sql(_) => {
                let last = piece.get(piece.len().saturating_sub(TAIL)..).unwrap_or_default();
                self.kept.extend_from_slice(last);
                self.keep_tail();
            }
        }
    }

    /// Evidence at the end of the content.
    ///
    /// # Errors
    /// `Damaged`: it is empty or incomplete.
    pub(super) fn finish(mut self) -> Result<Evidence, Defect> {
        if let Form::Data = self.form {
            return Ok(if self.kept == END_OF_ROWS { Evidence::Complete("end of rows") } else { Evidence::Unknown });
        }
        if !self.has_content {
            return Err(Defect::Damaged("it is empty: it holds no content".to_owned()));
        }
        self.decide();
        match self.form {
            Form::Archive(archive) => archive.finish().map(|()| Evidence::Complete("table of contents")),
            Form::Tar(archive) => archive.finish().map(|()| Evidence::Complete("tar headers")),
            Form::Sql(closing) => {
                let tail = String::from_utf8_lossy(&self.kept);
                if tail.lines().any(|line| line.starts_with(closing)) {
                    return Ok(Evidence::Complete("closing line"));
                }
                Err(Defect::Damaged(format!("it does not end with `{closing}`: the dump was cut short")))
            }
            Form::Foreign(name) => Ok(Evidence::Foreign(name)),
            Form::Undecided | Form::Other | Form::Data => Ok(Evidence::Unknown),
        }
    }

    /// Whether anything but zeros and white space was read so far.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    fn decide(&mut self) {
        let Form::Undecided = self.form else { return };
        let head = String::from_utf8_lossy(self.kept.get(..HEAD.min(self.kept.len())).unwrap_or_default());
        // PostgreSQL: the whole line, because one opening is the start of another. Others: the start of the line.
        let opens =
            |line: &str, opening: &str| line == opening || !opening.contains("PostgreSQL") && line.starts_with(opening);
        let sql = SQL.iter().find(|(opening, _)| head.lines().any(|line| opens(line, opening)));
        let foreign = FOREIGN.iter().find(|(start, _)| self.kept.starts_with(start));
        if self.kept.starts_with(b"PGDMP") {
            let mut archive = Box::<pg_dump::Archive>::default();
            archive.feed(&std::mem::take(&mut self.kept));
            self.form = Form::Archive(archive);
        } else if tar::TarReader::is_tar(&self.kept) {
            let mut archive = Box::<tar::TarReader>::default();
            archive.feed(&std::mem::take(&mut self.kept));
            self.form = Form::Tar(archive);
        } else if let Some((_, closing)) = sql {
            self.form = Form::Sql(closing);
            self.keep_tail();
        } else {
            self.form = foreign.map_or(Form::Other, |(_, name)| Form::Foreign(name));
            self.kept = Vec::new();
        }
    }

    fn keep_tail(&mut self) {
        self.kept.drain(..self.kept.len().saturating_sub(TAIL));
    }
}

impl Promise {
    /// Promise of a name: its extension before the one of a compression, as in `orders.sql.gz` or `orders.tgz`.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let plain = [".gz", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        match plain.rsplit_once('.')?.1 {
            "sql" => Some(Self::SqlDump),
            "tar" | "tgz" | "tzst" => Some(Self::TarArchive),
            "dump" | "pgdump" => Some(Self::Dump),
            _ => None,
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::SqlDump => "SQL dump of PostgreSQL, MySQL or MariaDB",
            Self::TarArchive => "tar archive",
            Self::Dump => "pg_dump archive or SQL dump",
        }
    }
}

/// Compression or encryption by the name of a file, for forms without a signature in their first bytes.
pub(super) fn foreign_by_name(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
    FOREIGN_NAMES.iter().find(|(end, _)| *end == extension).map(|(_, name)| *name)
}
