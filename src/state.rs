//! What survives a restart: statuses with their since, streaks, counters, histories, and the windows of the checks.
//!
//! One file in the folder of the setting `state`, replaced as a whole: written beside, synced, renamed. Its first
//! line carries a version and a checksum. A file that is damaged or from a newer version is set aside with a warning;
//! it never keeps the daemon from starting. One daemon at a time may use a folder.

mod record;

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

pub use self::record::{Capture, Kept, Saved};

const FILE: &str = "state.json";
const DRAFT: &str = "state.json.new";
const DAMAGED: &str = "state.json.damaged";
const LOCK: &str = "lock";
const MAGIC: &str = "readiness-exporter state 1 sha256:";
/// Length of the first line: the magic, a checksum and the end of the line.
const HEAD: u64 = MAGIC.len() as u64 + 64 + 1;

/// So much is written at once.
const PIECE: usize = 64 << 10;

/// Larger than ten thousand probes with full windows need.
const LARGEST: u64 = 1 << 30;

/// The folder, held by this process.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: File,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be made, or nothing can be written to it.
    #[error("the state folder {} can't be used: {error}; make it writable for this user or change `state`", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process holds it.
    #[error(
        "another readiness-exporter uses the state folder {}: stop it, or give each its own folder with `state`",
        folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
}

/// What was found in the folder.
#[derive(Debug)]
pub enum Found {
    /// Nothing: a first start.
    Nothing,
    /// What was saved.
    State(Box<Saved>),
    /// A file that can't be used, now under another name.
    Damaged {
        /// What is wrong with it.
        why: String,
        /// Where it is now.
        moved_to: PathBuf,
    },
}

impl Store {
    /// Takes the folder; makes it if need be.
    ///
    /// # Errors
    /// The folder can't be made or written to, or another process holds it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Unusable { folder: folder.to_owned(), error };
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Taken { folder: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads what is there; what can't be used is set aside.
    #[must_use]
    pub fn load(&self) -> Found {
        let path = self.folder.join(FILE);
        match read(&path) {
            Ok(None) => Found::Nothing,
            Ok(Some(saved)) => Found::State(Box::new(saved)),
            Err(why) => {
                let moved_to = self.folder.join(DAMAGED);
                let why = match fs::rename(&path, &moved_to) {
                    Ok(()) => why,
                    Err(error) => format!("{why}; nor can it be renamed: {error}"),
                };
                Found::Damaged { why, moved_to }
            }
        }
    }

    /// Replaces what is there.
    ///
    /// # Errors
    /// The file can't be written; the one before is untouched then.
    pub fn write(&self, state: &Capture<'_>) -> io::Result<()> {
        let draft = self.folder.join(DRAFT);
        let mut file = File::create(&draft)?;
        // The first line comes last: it has the checksum of all others.
        file.seek(SeekFrom::Start(HEAD))?;
        let mut body = BufWriter::with_capacity(PIECE, Summed { file, sum: Sha256::new() });
        serde_json::to_writer(&mut body, state)?;
        let Summed { mut file, sum } = body.into_inner().map_err(IntoInnerError::into_error)?;
        file.rewind()?;
        file.write_all(format!("{MAGIC}{}\n", checksum(sum)).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

/// A file with the checksum of what was written to it.
struct Summed {
    file: File,
    sum: Sha256,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn read(path: &Path) -> Result<Option<Saved>, String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| format!("it can't be opened: {error}"))?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("it can't be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 1GiB".to_owned());
    }
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
    let (head, body) = bytes.split_at(line);
    let body = body.get(1..).unwrap_or_default();
    let stated = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.strip_prefix(MAGIC))
        .ok_or("its first line is not that of a state file of this version")?;
    if stated != checksum(Sha256::new_with_prefix(body)) {
        return Err("its checksum doesn't match its content".to_owned());
    }
    serde_json::from_slice(body).map(Some).map_err(|error| format!("its content can't be understood: {error}"))
}

fn checksum(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::board::Board;

    fn saved() -> Saved {
        Saved { saved_at: Timestamp::UNIX_EPOCH, probes: Default::default() }
    }

    /// Writes the state of a daemon without probes.
    fn write(store: &Store) -> io::Result<()> {
        store.write(&Capture::new(&Board::default().snapshot(), &[], Timestamp::UNIX_EPOCH))
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a/b")).unwrap();
        (folder, store)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (_folder, store) = store();
        assert!(matches!(store.load(), Found::Nothing));
        write(&store).unwrap();
        write(&store).unwrap();
        assert!(matches!(store.load(), Found::State(found) if *found == saved()));
    }

    #[test]
    fn a_folder_is_used_by_one_daemon_at_a_time() {
        let (_folder, store) = store();
        assert!(matches!(Store::open(&store.folder), Err(OpenError::Taken { .. })));
        let path = store.folder.clone();
        drop(store);
        assert!(Store::open(&path).is_ok());
    }

    #[test]
    fn every_damage_is_noticed_and_set_aside() {
        let (_folder, store) = store();
        write(&store).unwrap();
        let good = fs::read(store.folder.join(FILE)).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|cut| good[..cut].to_vec()).collect();
        bad.extend((0..good.len()).map(|at| {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            flipped
        }));
        bad.push(b"readiness-exporter state 2 sha256:00\n{}".to_vec());
        for content in bad {
            fs::write(store.folder.join(FILE), &content).unwrap();
            assert!(matches!(store.load(), Found::Damaged { .. }), "{:?}", String::from_utf8_lossy(&content));
            assert!(!store.folder.join(FILE).exists());
            assert_eq!(fs::read(store.folder.join(DAMAGED)).unwrap(), content, "nothing is lost");
        }
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_state_before_it() {
        let (_folder, store) = store();
        write(&store).unwrap();
        fs::write(store.folder.join(DRAFT), b"readiness-exporter state 1 sha").unwrap();
        assert!(matches!(store.load(), Found::State(_)));
        write(&store).unwrap();
        assert!(matches!(store.load(), Found::State(_)));
    }

    #[test]
    fn a_disk_that_is_full_leaves_the_state_before_it() {
        let (_folder, store) = store();
        write(&store).unwrap();
        // Whatever is written to this device, it is full.
        std::os::unix::fs::symlink("/dev/full", store.folder.join(DRAFT)).unwrap();
        assert_eq!(write(&store).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(matches!(store.load(), Found::State(_)));
    }
}
