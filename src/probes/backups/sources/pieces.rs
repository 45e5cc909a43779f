//! Split files: backups in several pieces, as `split` and archive programs name them.
//!
//! | names | read as pieces |
//! |---|---|
//! | `x.part1`, `x.part01`, `x-part-aa`, `x.partaa` | always |
//! | `x.aa`, `x.ab`; `x.gzaa`, `x.gzab` | if they begin with `aa`, or there are several and the first one begins with `a` |
//! | `x.00`, `x.01`; `x.001`; `x.gz00` | if there are several, all but the last have the same size, and none is older than the one before it |
//!
//! Rotated backups have numbers, too (`x.1`, `x.01`). Their sizes differ, and a higher number is older.

use std::{collections::BTreeMap, path::PathBuf};

use super::candidate::{Candidate, StoredFile, is_unfinished_extension};
use crate::probes::backups::facts::{BackupForm, State};

/// Name of a piece: the name of the split file, and the number of the piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PieceName<'a> {
    /// Name of the split file.
    pub(crate) whole: &'a str,
    /// Text between the name and the number.
    separator: &'a str,
    number: &'a str,
}

/// How certainly a name belongs to a split file, and the digits of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Numbering {
    /// Digits after a word such as `part`.
    MarkedDigits,
    MarkedLetters,
    Digits,
    Letters,
}

/// Words before the number of a piece.
const MARKS: [&str; 5] = ["part", "piece", "chunk", "split", "vol"];
/// Extensions to which `split` appends a number without a separator.
const EXTENSIONS: [&str; 11] = ["gz", "zst", "xz", "bz2", "lz4", "sql", "dump", "tar", "tgz", "bak", "gpg"];
/// Other extensions that are no numbers.
const OTHER_WORDS: [&str; 12] = ["age", "asc", "csv", "enc", "json", "log", "new", "old", "pgp", "sig", "txt", "zip"];
/// Maximum number of characters of a piece's number.
const MAX_NUMBER: usize = 6;

impl<'a> PieceName<'a> {
    /// Divides the name of a file. `None` for a name without a number.
    pub(crate) fn of(name: &'a str) -> Option<Self> {
        let dot = name.rfind(['.', '-', '_'])?;
        let (digits, letters) = (tail(name, |c| c.is_ascii_digit()), tail(name, |c| c.is_ascii_lowercase()));
        // `x.gzaa`: the extension and the number are one word.
        let extension = name.get(dot + 1..)?;
        let number = EXTENSIONS.iter().find_map(|known| extension.strip_prefix(known).filter(|rest| rest.len() == 2));
        if let Some(number) = number.filter(|number| number.chars().all(|c| c.is_ascii_lowercase())) {
            return Some(Self { whole: name.get(..name.len() - number.len())?, separator: "", number });
        }
        for number in [digits, letters] {
            if number.is_empty() {
                continue;
            }
            let rest = name.get(..name.len() - number.len())?;
            // A word such as `part` is letters itself: `x.partaa`.
            if let Some((whole, separator, number)) = marked(name, rest, number) {
                return Some(Self { whole, separator, number });
            }
            if let Some(whole) = rest.strip_suffix('.')
                && !whole.is_empty()
            {
                return Some(Self { whole, separator: ".", number });
            }
            let extension = rest.get(dot + 1..).unwrap_or_default();
            if EXTENSIONS.contains(&extension) {
                return Some(Self { whole: rest, separator: "", number });
            }
        }
        None
    }

    /// Whether the letters of the number are a common extension.
    fn is_word(&self) -> bool {
        let is_word = EXTENSIONS.contains(&self.number)
            || OTHER_WORDS.contains(&self.number)
            || is_unfinished_extension(self.number);
        is_word && self.separator.len() <= 1
    }

    fn numbering(&self) -> Option<Numbering> {
        let is_marked = self.separator.len() > 1;
        let length = self.number.len();
        let is_numeric = self.number.starts_with(|c: char| c.is_ascii_digit());
        if !is_marked && is_numeric && ends_with_month(self.whole) {
            return None;
        }
        match (is_marked, is_numeric) {
            (true, true) if length <= MAX_NUMBER => Some(Numbering::MarkedDigits),
            (true, false) if (2..=MAX_NUMBER).contains(&length) => Some(Numbering::MarkedLetters),
            // After 990 pieces, `split` continues with 990000.
            (false, true) if (2..=4).contains(&length) || length == 6 && self.number.starts_with("99") => {
                Some(Numbering::Digits)
            }
            (false, false) if (2..=4).contains(&length) => Some(Numbering::Letters),
            _ => None,
        }
    }
}

/// Whether a name ends with a year and a month, as in `orders-2026.11`: a number behind it is the day.
fn ends_with_month(name: &str) -> bool {
    let parts: Vec<_> = name.rsplit(['.', '-', '_']).take(2).collect();
    let is_number = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    match parts.as_slice() {
        [month, year] => {
            is_number(month, 2) && year.get(year.len().saturating_sub(4)..).is_some_and(|year| is_number(year, 4))
        }
        _ => false,
    }
}

fn tail(text: &str, is_part: impl Fn(char) -> bool) -> &str {
    let start = text.trim_end_matches(is_part).len();
    text.get(start..).unwrap_or_default()
}

/// Divides `x.part01` and `x.partaa` at the word.
fn marked<'a>(name: &'a str, rest: &'a str, number: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
    let is_numeric = number.starts_with(|c: char| c.is_ascii_digit());
    MARKS.iter().find_map(|mark| {
        // Digits and separated letters follow the word; other letters are joined with it.
        let before = rest.trim_end_matches(['.', '-', '_']);
        let joined = number.strip_prefix(mark).filter(|letters| !is_numeric && letters.len() >= 2);
        let (before, number) = match joined {
            Some(letters) => (rest, letters),
            None => (before.strip_suffix(mark)?, number),
        };
        let whole = before.strip_suffix(['.', '-', '_']).filter(|whole| !whole.is_empty())?;
        let separator = name.get(whole.len()..name.len() - number.len())?;
        (!is_unfinished_extension(name.rsplit('.').next()?)).then_some((whole, separator, number))
    })
}

/// Pieces of one split file, by number.
type PieceGroup = Vec<(u64, StoredFile, String)>;

/// Joins the pieces of split files, and keeps the other files as they are. `is_dated` tells whether the name of a split
/// file still has the time of the backup: without it, the number is a part of the time.
pub(crate) fn join(files: Vec<(StoredFile, String)>, is_dated: &dyn Fn(&str) -> bool) -> Vec<Candidate> {
    let mut groups: BTreeMap<(PathBuf, Numbering), Vec<(StoredFile, String)>> = BTreeMap::new();
    let mut candidates = Vec::new();
    for (file, below) in files {
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let piece = PieceName::of(name).and_then(|piece| Some((piece.numbering()?, piece)));
        match piece {
            Some((numbering, piece)) if is_dated(whole_below(&below, &piece)) => {
                let key = file.path.with_file_name(format!("{}{}", piece.whole, piece.separator));
                groups.entry((key, numbering)).or_default().push((file, below));
            }
            _ => candidates.push(Candidate::file(&file, below)),
        }
    }
    for ((_, numbering), files) in groups {
        let (group, others) = without_words(numbered(files));
        candidates.extend(others.into_iter().map(|(_, file, below)| Candidate::file(&file, below)));
        match is_split(numbering, &group) {
            true => candidates.extend(joined(group)),
            false => candidates.extend(group.into_iter().map(|(_, file, below)| Candidate::file(&file, below))),
        }
    }
    candidates
}

/// The path below the wildcards without the number of the piece.
fn whole_below<'a>(below: &'a str, piece: &PieceName<'_>) -> &'a str {
    below.get(..below.len().saturating_sub(piece.separator.len() + piece.number.len())).unwrap_or(below)
}

/// Sorts pieces by number.
fn numbered(files: Vec<(StoredFile, String)>) -> PieceGroup {
    let number_of = |file: &StoredFile| {
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        PieceName::of(name).map_or("", |piece| piece.number).to_owned()
    };
    let numbers: Vec<_> = files.iter().map(|(file, _)| number_of(file)).collect();
    let has_one_length = numbers.iter().all(|number| Some(number.len()) == numbers.first().map(String::len));
    let is_padded = numbers.iter().any(|number| number.len() > 1 && number.starts_with(['0', 'a']));
    let value = |number: &str| match has_one_length || !is_padded {
        true => plain_value(number),
        false => widened_value(number),
    };
    let numbers: Vec<_> = numbers.iter().map(|number| value(number)).collect();
    let mut group: PieceGroup =
        numbers.into_iter().zip(files).map(|(number, (file, below))| (number, file, below)).collect();
    group.sort_by_key(|(number, ..)| *number);
    group
}

/// Separates extensions such as `gz` from numbers: `x.gz` is a piece only beside `x.gy`.
fn without_words(group: PieceGroup) -> (PieceGroup, PieceGroup) {
    let numbers: Vec<_> = group.iter().map(|(number, ..)| *number).collect();
    group.into_iter().partition(|(number, file, _)| {
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_word = PieceName::of(name).is_some_and(|piece| piece.is_word());
        !is_word || number.checked_sub(1).is_some_and(|before| numbers.contains(&before))
    })
}

/// Value of a number of fixed width, with digits or letters.
fn plain_value(number: &str) -> u64 {
    let (radix, zero) = alphabet(number);
    number.bytes().fold(0, |sum: u64, digit| sum * radix + u64::from(digit.saturating_sub(zero)))
}

/// Value of a number of GNU `split`, which widens its numbers after `89` and `yz`: `9000`, `zaaa`.
fn widened_value(number: &str) -> u64 {
    let (radix, zero) = alphabet(number);
    let last = zero + u8::try_from(radix - 1).unwrap_or(0);
    let widenings = number.bytes().take_while(|digit| *digit == last).count().min(number.len().saturating_sub(2) / 2);
    let before: u64 = (0..widenings).map(|n| (radix - 1) * radix.pow(u32::try_from(n).unwrap_or(0) + 1)).sum();
    before + plain_value(number.get(widenings..).unwrap_or_default())
}

fn alphabet(number: &str) -> (u64, u8) {
    if number.starts_with(|c: char| c.is_ascii_digit()) { (10, b'0') } else { (26, b'a') }
}

/// Whether a group of files is one split file.
fn is_split(numbering: Numbering, group: &PieceGroup) -> bool {
    let first = group.first().map_or(0, |(number, ..)| *number);
    match numbering {
        // `partial` and similar words are no numbers: the first piece of a real one begins with `a`.
        Numbering::MarkedLetters => first < 26,
        Numbering::MarkedDigits => true,
        Numbering::Letters => first == 0 || group.len() > 1 && first < 26,
        Numbering::Digits => group.len() > 1 && first <= 9 && has_sizes_of_pieces(group),
    }
}

/// Whether all files but the last have the same size, and none is older than the one before it.
fn has_sizes_of_pieces(group: &PieceGroup) -> bool {
    let size = group.first().map_or(0, |(_, file, _)| file.size);
    let is_last = |at: usize| at + 1 == group.len();
    let same_size =
        group.iter().enumerate().all(|(at, (_, file, _))| file.size == size || is_last(at) && file.size < size);
    same_size && group.is_sorted_by_key(|(_, file, _)| file.modified)
}

/// One candidate for the pieces. Missing pieces are its state.
fn joined(group: PieceGroup) -> Option<Candidate> {
    let (first, first_file, first_below) = group.first()?;
    let name = first_file.path.file_name()?.to_str()?.to_owned();
    let piece = PieceName::of(&name)?;
    let is_numeric = piece.number.starts_with(|c: char| c.is_ascii_digit());
    let path = first_file.path.with_file_name(piece.whole);
    let below = whole_below(first_below, &piece).to_owned();
    // Digits begin with 0 or 1, letters with `a`.
    let start = if is_numeric { (*first).min(1) } else { 0 };
    let end = group.last().map_or(start, |(number, ..)| *number);
    let expected = (end - start).saturating_add(1);
    let missing = expected.saturating_sub(group.len() as u64);
    let first_missing = group.iter().zip(start..).find(|((number, ..), expected)| number != expected);
    let state = first_missing.filter(|_| missing > 0).map(|(_, number)| {
        let before = group.iter().rev().find(|(found, ..)| *found < number).map_or_else(
            || format!("before {name}"),
            |(_, file, _)| format!("after {}", file.path.file_name().unwrap_or_default().display()),
        );
        let pieces = if missing == 1 { "piece is" } else { "pieces are" };
        (State::MissingPieces, format!("{missing} {pieces} missing, the first one {before}"))
    });
    let files: Vec<_> = group.into_iter().map(|(_, file, _)| file).collect();
    let is_unfinished = files.iter().any(|file| file.size == 0);
    let mut candidate = Candidate::of_files(path, below, BackupForm::Pieces, files);
    candidate.state = state.or_else(|| is_unfinished.then(|| (State::MissingPieces, "a piece is empty".to_owned())));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn divided(name: &str) -> Option<(&str, &str, &str)> {
        let piece = PieceName::of(name)?;
        piece.numbering()?;
        Some((piece.whole, piece.separator, piece.number))
    }

    #[test]
    fn names_of_pieces_are_divided() {
        for (name, expected) in [
            ("a.sql.gz.00", Some(("a.sql.gz", ".", "00"))),
            ("a.sql.gz.001", Some(("a.sql.gz", ".", "001"))),
            ("a.sql.gz.ab", Some(("a.sql.gz", ".", "ab"))),
            ("a.sql.gz.partaa", Some(("a.sql.gz", ".part", "aa"))),
            ("a.sql.gz.part1", Some(("a.sql.gz", ".part", "1"))),
            ("a.sql.gz-part-07", Some(("a.sql.gz", "-part-", "07"))),
            ("a.sql.gz_part_ab", Some(("a.sql.gz", "_part_", "ab"))),
            ("a.sql.gz.split.03", Some(("a.sql.gz", ".split.", "03"))),
            ("a.sql.gzaa", Some(("a.sql.gz", "", "aa"))),
            ("a.sql.gz01", Some(("a.sql.gz", "", "01"))),
            ("a.sql.gz.part", Some(("a.sql.gz", ".", "part"))),
            ("a.partial", None),
            ("a.1", None),
            ("a.20261128", None),
            ("orders-2026-11-28", None),
            ("a", None),
            (".aa", None),
        ] {
            assert_eq!(divided(name), expected, "{name}");
        }
    }

    fn joined_names(names: &[(&str, u64, i64)]) -> Vec<(String, usize, bool)> {
        let file = |(name, size, time): &(&str, u64, i64)| {
            let path = PathBuf::from("/b").join(name);
            let modified = jiff::Timestamp::from_second(*time).ok();
            (StoredFile { path, size: *size, modified, inode: (0, 0), links: 1 }, (*name).to_owned())
        };
        let mut found: Vec<_> = join(names.iter().map(file).collect(), &|_| true)
            .into_iter()
            .map(|found| (found.below, found.files.len(), found.state.is_some()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn pieces_are_joined_and_rotated_backups_are_not() {
        let one = |name: &str, count, is_incomplete| vec![(name.to_owned(), count, is_incomplete)];
        assert_eq!(joined_names(&[("a.gz.00", 5, 1), ("a.gz.01", 5, 1), ("a.gz.02", 3, 2)]), one("a.gz", 3, false));
        assert_eq!(joined_names(&[("a.gz.001", 5, 1), ("a.gz.002", 5, 1)]), one("a.gz", 2, false));
        assert_eq!(joined_names(&[("a.gz.00", 5, 1), ("a.gz.02", 3, 2)]), one("a.gz", 2, true));
        assert_eq!(joined_names(&[("a.gz.ab", 5, 1), ("a.gz.ac", 3, 2)]), one("a.gz", 2, true), "the first is missing");
        assert_eq!(joined_names(&[("a.gz.aa", 5, 1)]), one("a.gz", 1, false));
        assert_eq!(joined_names(&[("a.part9", 5, 1), ("a.part10", 9, 2)]), one("a", 2, true), "1 to 8 are missing");
        assert_eq!(joined_names(&[("a.part1", 5, 1), ("a.part2", 9, 2)]), one("a", 2, false));
        assert_eq!(joined_names(&[("a.part1", 5, 1), ("a.part2", 0, 2)]), one("a", 2, true), "empty");
        for rotated in [
            vec![("a.01", 5, 2), ("a.02", 5, 1)],
            vec![("a.01", 5, 1), ("a.02", 4, 2), ("a.03", 5, 3)],
            vec![("a.gz", 5, 2), ("a.xz", 5, 1)],
            vec![("a.part", 5, 2), ("b.old", 5, 1)],
            vec![("2026.11.27", 5, 1), ("2026.11.28", 5, 2)],
            vec![("orders2026.12.01", 5, 1), ("orders2026.12.02", 5, 2)],
        ] {
            let found = joined_names(&rotated);
            assert!(found.iter().all(|(_, files, _)| *files == 0), "{rotated:?}: {found:?}");
        }
    }

    /// The pieces have the order of GNU `split`, also after it widens its numbers.
    #[test]
    fn pieces_of_split_are_found_in_their_order() {
        for (options, separator) in [
            (&["-b", "10"][..], "."),
            (&["-b", "10", "-d"], "."),
            (&["-b", "10", "-a", "4"], "."),
            (&["-b", "1000", "-d"], ""),
            (&["-b", "1000"], ""),
            (&["-b", "700", "-d"], ".part-"),
            (&["-b", "700"], ".part"),
            (&["-b", "700", "--numeric-suffixes=1", "-a", "3"], "."),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let content: Vec<u8> = (0..7_100u32).flat_map(|n| n.to_le_bytes()).take(9_999).collect();
            fs::write(folder.path().join("a.gz"), &content).unwrap();
            let mut split = Command::new("split");
            split.args(options).arg("a.gz").arg(format!("a.gz{separator}")).current_dir(folder.path());
            assert!(split.status().unwrap().success());
            fs::remove_file(folder.path().join("a.gz")).unwrap();
            let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
            let count = files.len();
            let files = files.iter().map(|entry| {
                let mut file = StoredFile::new(entry.path(), &entry.metadata().unwrap());
                // All pieces may be written within the resolution of the clock of the file system.
                file.modified = jiff::Timestamp::from_second(1).ok();
                (file, entry.file_name().into_string().unwrap())
            });
            let found = join(files.collect(), &|_| true);
            assert_eq!(found.len(), 1, "{options:?} {separator}: {found:?}");
            assert!(found[0].path.ends_with("a.gz") && found[0].state.is_none(), "{found:?}");
            let read: Vec<u8> = found[0].file_paths().iter().flat_map(|path| fs::read(path).unwrap()).collect();
            assert_eq!((found[0].files.len(), read), (count, content), "{options:?} {separator}");
        }
    }
}
