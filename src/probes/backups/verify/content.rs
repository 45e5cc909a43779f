//! Looks at decompressed content: a pg_dump archive, a tar archive, or an SQL dump that must end with its closing line.
//!
//! The closing line matters most where a dump is compressed while it is written: when pg_dump dies, `pg_dump | gzip`
//! leaves a correct gzip file that holds half a database, or nothing.

use std::path::Path;

use super::{Defect, pg_dump, tar};

/// Content that is being read.
#[derive(Debug, Default)]
pub(super) struct Content {
    form: Form,
    /// The first bytes until the form is known, afterwards the last ones.
    kept: Vec<u8>,
    /// Whether a byte came that is neither zero nor white space.
    has_content: bool,
}

/// What reading the content to its end tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The form proves that nothing is missing, by this.
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
    Other,
}

/// How an SQL dump begins and how it ends.
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
/// Where the opening line stands, and how far before the end the closing one may.
const HEAD: usize = 512;
const TAIL: usize = 4096;

impl Content {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.has_content = self.has_content || piece.iter().any(|byte| *byte != 0 && !byte.is_ascii_whitespace());
        match &mut self.form {
            Form::Other | Form::Foreign(_) => {}
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

    /// What the content proves at its end.
    ///
    /// # Errors
    /// `Damaged`: it is empty or incomplete.
    pub(super) fn finish(mut self) -> Result<Evidence, Defect> {
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
            Form::Undecided | Form::Other => Ok(Evidence::Unknown),
        }
    }

    /// Whether anything but zeros and white space came so far.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    fn decide(&mut self) {
        let Form::Undecided = self.form else { return };
        let head = String::from_utf8_lossy(self.kept.get(..HEAD.min(self.kept.len())).unwrap_or_default());
        // A whole line for PostgreSQL, where one opening is the start of another; only its start for the others.
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
    /// By the last part of the name before the compression: `orders.sql.gz`, `orders.tgz`.
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

/// The compression or encryption that the name of a file tells, where its first bytes do not.
pub(super) fn foreign_by_name(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_string_lossy().to_ascii_lowercase();
    FOREIGN_NAMES.iter().find(|(end, _)| *end == extension).map(|(_, name)| *name)
}
