//! Looks at unpacked content: a pg_dump archive, or an SQL dump that must end with its closing line.
//!
//! The closing line matters most where a dump is packed on the fly: when pg_dump dies, `pg_dump | gzip` leaves a
//! flawless gzip file with half a database in it.

use super::{Defect, pg_dump::Archive};

/// Content in the making.
#[derive(Debug, Default)]
pub(super) struct Content {
    form: Form,
    /// The first bytes until the form is known, afterwards the last ones.
    kept: Vec<u8>,
}

#[derive(Debug, Default)]
enum Form {
    #[default]
    Undecided,
    Archive(Box<Archive>),
    Sql(&'static str),
    Other,
}

/// How an SQL dump begins and how it ends.
const SQL: [(&str, &str); 4] = [
    ("-- PostgreSQL database dump", "-- PostgreSQL database dump complete"),
    ("-- PostgreSQL database cluster dump", "-- PostgreSQL database cluster dump complete"),
    ("-- MySQL dump", "-- Dump completed"),
    ("-- MariaDB dump", "-- Dump completed"),
];
/// Where the opening line stands, and how far before the end the closing one may.
const HEAD: usize = 512;
const TAIL: usize = 4096;

impl Content {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        match &mut self.form {
            Form::Other => {}
            Form::Archive(archive) => archive.feed(piece),
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

    /// What told that all is there, if the form has something to tell.
    pub(super) fn finish(mut self) -> Result<Option<&'static str>, Defect> {
        self.decide();
        match self.form {
            Form::Archive(archive) => archive.finish().map(|()| Some("its table of contents")),
            Form::Sql(closing) => {
                let tail = String::from_utf8_lossy(&self.kept);
                if tail.lines().any(|line| line.starts_with(closing)) {
                    return Ok(Some("its closing line"));
                }
                Err(Defect::Damaged(format!("it does not end with `{closing}`: the dump was cut short")))
            }
            Form::Undecided | Form::Other => Ok(None),
        }
    }

    fn decide(&mut self) {
        let Form::Undecided = self.form else { return };
        let head = String::from_utf8_lossy(self.kept.get(..HEAD.min(self.kept.len())).unwrap_or_default());
        // A whole line for PostgreSQL, where one opening is the start of another; only its start for the others.
        let opens =
            |line: &str, opening: &str| line == opening || !opening.contains("PostgreSQL") && line.starts_with(opening);
        let sql = SQL.iter().find(|(opening, _)| head.lines().any(|line| opens(line, opening)));
        if self.kept.starts_with(b"PGDMP") {
            let mut archive = Box::<Archive>::default();
            archive.feed(&std::mem::take(&mut self.kept));
            self.form = Form::Archive(archive);
        } else if let Some((_, closing)) = sql {
            self.form = Form::Sql(closing);
            self.keep_tail();
        } else {
            self.form = Form::Other;
            self.kept = Vec::new();
        }
    }

    fn keep_tail(&mut self) {
        self.kept.drain(..self.kept.len().saturating_sub(TAIL));
    }
}
