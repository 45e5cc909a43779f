//! State that survives a restart: statuses with their times, streaks, counters, histories and the windows of the
//! checks.
//!
//! The folder of the setting `state` contains one state file. A write replaces the whole file: it writes a temporary
//! file, syncs and renames it. The first line contains a version and a checksum. A damaged file, or a file of a newer
//! version, is renamed with a warning and never prevents a start. A lock ensures that one daemon at a time uses a
//! folder.
//!
//! The content of the folder is not trusted: symbolic links are not followed, only regular files are opened, and the
//! number of checks bounds the size that is read. The state quotes targets, so only the daemon's user may read it.

mod folder;
mod last;
mod record;

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, BufReader, BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

pub use self::record::{RunningProbe, SavedState, StateSnapshot};
use crate::{
    io::bounded_file::{self, Links},
    model::{text, units::Size},
};

const STATE_FILE: &str = "state.json";
const TEMPORARY_FILE: &str = "state.json.new";
const DAMAGED_FILE: &str = "state.json.damaged";
const LOCK_FILE: &str = "lock";
const MAGIC: &str = "readiness-exporter state 1 sha256:";
/// Length of the first line: magic, checksum and line break.
const HEADER_BYTES: u64 = MAGIC.len() as u64 + 64 + 1;

/// Size of the read and write buffers.
const BUFFER_BYTES: usize = 64 << 10;
/// Size limit for a configuration without checks: a saved state may contain checks that were removed since.
const MIN_SIZE_LIMIT: u64 = 64 << 20;
/// Most bytes of one check: a full window of a hundred thousand runs. The window itself is limited by
/// [`record::MAX_WINDOW_BYTES`] when it is written and when it is read.
const MAX_CHECK_BYTES: u64 = 2 << 20;
/// Absolute size limit; ten thousand probes with full windows need less.
const MAX_STATE_BYTES: u64 = 1 << 30;
/// Mode of a new folder: only the daemon's user has access.
const PRIVATE_FOLDER_MODE: u32 = 0o700;

/// The state folder, locked by this process.
#[derive(Debug)]
pub struct StateStore {
    folder: PathBuf,
    _lock: File,
}

/// Reasons why the state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateStoreError {
    /// The folder can't be created or written.
    #[error("the state folder {} can't be used: {error}; make it writable for this user or change `state`", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "another readiness-exporter uses the state folder {}: stop it, or give each its own folder with `state`",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
}

/// Result of loading the state.
#[derive(Debug)]
pub enum LoadedState {
    /// The folder contains no state: a first start.
    Nothing,
    /// The saved state.
    State(Box<SavedState>),
    /// The file is damaged and was renamed.
    Damaged {
        /// Description of the damage.
        why: String,
        /// The new name of the file.
        moved_to: PathBuf,
    },
}

impl StateStore {
    /// Opens and locks the folder; creates it if necessary.
    ///
    /// # Errors
    /// The folder can't be created or written, or another process holds the lock.
    pub fn open(folder: &Path) -> Result<Self, StateStoreError> {
        let unusable = |error| StateStoreError::Unusable { folder: folder.to_owned(), error };
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER_MODE).create(folder).map_err(unusable)?;
        let lock = bounded_file::open_private(&folder.join(LOCK_FILE));
        let lock = lock.map_err(|refusal| unusable(io::Error::other(format!("its file {LOCK_FILE} {refusal}"))))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateStoreError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Path of the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Describes the risk that other users can replace the state, if there is one.
    #[must_use]
    pub fn describe_risk(&self) -> Option<String> {
        folder::describe_risk(&self.folder)
    }

    /// Loads the saved state; renames a file that can't be used. `checks` is the number of configured checks, which
    /// bounds the file size.
    #[must_use]
    pub fn load(&self, checks: usize) -> LoadedState {
        let path = self.folder.join(STATE_FILE);
        match read_state(&path, max_state_bytes(checks)) {
            Ok(None) => LoadedState::Nothing,
            Ok(Some(saved)) => LoadedState::State(Box::new(saved)),
            Err(why) => {
                let moved_to = self.folder.join(DAMAGED_FILE);
                let why = match fs::rename(&path, &moved_to) {
                    Ok(()) => why,
                    Err(error) => format!("{why}; it can't be renamed either: {error}"),
                };
                LoadedState::Damaged { why, moved_to }
            }
        }
    }

    /// Replaces the saved state.
    ///
    /// # Errors
    /// The file can't be written. The previous state is unchanged.
    pub fn write(&self, state: &StateSnapshot<'_>) -> io::Result<()> {
        let draft = self.folder.join(TEMPORARY_FILE);
        write_state(bounded_file::create_private(&draft)?, state)?;
        fs::rename(&draft, self.folder.join(STATE_FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

fn write_state(mut file: File, state: &StateSnapshot<'_>) -> io::Result<()> {
    // The first line is written last, because it contains the checksum of all others.
    file.seek(SeekFrom::Start(HEADER_BYTES))?;
    let mut body = BufWriter::with_capacity(BUFFER_BYTES, HashingWriter { file, sum: Sha256::new() });
    serde_json::to_writer(&mut body, state)?;
    let HashingWriter { mut file, sum } = body.into_inner().map_err(IntoInnerError::into_error)?;
    file.rewind()?;
    file.write_all(format!("{MAGIC}{}\n", hex_digest(sum)).as_bytes())?;
    file.sync_all()
}

/// A writer that computes a checksum of its output.
struct HashingWriter<W> {
    file: W,
    sum: Sha256,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Size limit of the state file for a number of checks.
fn max_state_bytes(checks: usize) -> u64 {
    let checks = u64::try_from(checks).unwrap_or(u64::MAX);
    MAX_CHECK_BYTES.saturating_mul(checks).saturating_add(MIN_SIZE_LIMIT).min(MAX_STATE_BYTES)
}

/// Reads the first line, checks the size and then verifies the checksum in chunks, so that a foreign file costs neither
/// time nor memory.
fn read_state(path: &Path, max: u64) -> Result<Option<SavedState>, String> {
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let unreadable = |error: io::Error| format!("it can't be read: {error}");
    let (mut file, found) =
        bounded_file::open_regular(path, Links::Refuse).map_err(|refusal| format!("it {refusal}"))?;
    // An earlier version created world-readable files, and a damaged file may stay for long.
    bounded_file::make_private(&file, &found);
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(HEADER_BYTES).read_to_end(&mut head).map_err(unreadable)?;
    let stated_checksum = std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix(MAGIC)?.strip_suffix('\n'))
        .ok_or("its first line doesn't identify a state file of this version")?;
    if found.len() > max {
        let (size, max) = (Size(found.len()), Size(max));
        return Err(format!("its size is {size}, but the state of the configured checks never exceeds {max}"));
    }
    let mut sum = HashingWriter { file: io::sink(), sum: Sha256::new() };
    io::copy(&mut BufReader::with_capacity(BUFFER_BYTES, Read::by_ref(&mut file).take(max)), &mut sum)
        .map_err(unreadable)?;
    if stated_checksum != hex_digest(sum.sum) {
        return Err("its checksum doesn't match its content".to_owned());
    }
    file.seek(SeekFrom::Start(HEADER_BYTES)).map_err(unreadable)?;
    let body = BufReader::with_capacity(BUFFER_BYTES, file.take(max));
    serde_json::from_reader(body).map(Some).map_err(|error| format!("its content can't be parsed: {error}"))
}

fn hex_digest(sum: Sha256) -> String {
    text::to_hex(&sum.finalize())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt, symlink},
        process::Command,
    };

    use jiff::Timestamp;

    use super::*;
    use crate::board::Board;

    /// Writes the state of a daemon without probes.
    fn write(store: &StateStore) -> io::Result<()> {
        store.write(&StateSnapshot::new(&Board::default().snapshot(), &[], Timestamp::UNIX_EPOCH))
    }

    fn store() -> (tempfile::TempDir, StateStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::open(&folder.path().join("a/b")).unwrap();
        (folder, store)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (_folder, store) = store();
        assert!(matches!(store.load(1), LoadedState::Nothing));
        write(&store).unwrap();
        write(&store).unwrap();
        assert!(
            matches!(store.load(1), LoadedState::State(found) if found.saved_at == Timestamp::UNIX_EPOCH && found.probes.is_empty())
        );
    }

    #[test]
    fn a_folder_is_used_by_one_daemon_at_a_time() {
        let (_folder, store) = store();
        assert!(matches!(StateStore::open(&store.folder), Err(StateStoreError::InUse { .. })));
        let path = store.folder.clone();
        drop(store);
        assert!(StateStore::open(&path).is_ok());
    }

    #[test]
    fn every_damage_is_noticed_and_set_aside() {
        let (_folder, store) = store();
        write(&store).unwrap();
        let good = fs::read(store.folder.join(STATE_FILE)).unwrap();
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|cut| good[..cut].to_vec()).collect();
        bad.extend((0..good.len()).map(|at| {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            flipped
        }));
        bad.push(b"readiness-exporter state 2 sha256:00\n{}".to_vec());
        for content in bad {
            fs::write(store.folder.join(STATE_FILE), &content).unwrap();
            assert!(matches!(store.load(1), LoadedState::Damaged { .. }), "{:?}", String::from_utf8_lossy(&content));
            assert!(!store.folder.join(STATE_FILE).exists());
            assert_eq!(fs::read(store.folder.join(DAMAGED_FILE)).unwrap(), content, "nothing is lost");
        }
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_state_before_it() {
        let (_folder, store) = store();
        write(&store).unwrap();
        fs::write(store.folder.join(TEMPORARY_FILE), b"readiness-exporter state 1 sha").unwrap();
        assert!(matches!(store.load(1), LoadedState::State(_)));
        write(&store).unwrap();
        assert!(matches!(store.load(1), LoadedState::State(_)));
    }

    #[test]
    fn a_disk_that_is_full_leaves_the_state_before_it() {
        let (_folder, store) = store();
        write(&store).unwrap();
        // The device takes every seek and no byte.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let state = Board::default().snapshot();
        let written = write_state(full, &StateSnapshot::new(&state, &[], Timestamp::UNIX_EPOCH));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(matches!(store.load(1), LoadedState::State(_)));
    }

    #[test]
    fn a_link_a_fifo_or_a_folder_in_the_place_of_a_file_is_neither_followed_nor_waited_for() {
        let (outside, store) = store();
        let victim = outside.path().join("victim");
        for name in [STATE_FILE, TEMPORARY_FILE, DAMAGED_FILE] {
            fs::write(&victim, "precious").unwrap();
            symlink(&victim, store.folder.join(name)).unwrap();
        }
        let why = |found| match found {
            LoadedState::Damaged { why, .. } => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(store.load(1)), "it is a symbolic link, not a regular file");
        write(&store).unwrap();
        assert!(matches!(store.load(1), LoadedState::State(_)));
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        for name in [STATE_FILE, TEMPORARY_FILE] {
            let path = store.folder.join(name);
            let _ = fs::remove_file(&path);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        }
        assert_eq!(why(store.load(1)), "it is a FIFO, not a regular file");
        write(&store).unwrap();
        fs::create_dir(store.folder.join(TEMPORARY_FILE)).unwrap();
        assert!(write(&store).is_err(), "a folder is not removed: somebody may have put something into it");
        assert!(matches!(store.load(1), LoadedState::State(_)));
    }

    #[test]
    fn a_lock_that_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = StateStore::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("its file lock is a FIFO, not a regular file"), "{error}");
        fs::remove_file(&path).unwrap();
        symlink(folder.path().join("victim"), &path).unwrap();
        let error = StateStore::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("its file lock is a symbolic link"), "{error}");
        assert!(!folder.path().join("victim").exists());
    }

    #[test]
    fn a_file_of_an_older_version_is_read_and_everything_becomes_private() {
        let (_folder, store) = store();
        write(&store).unwrap();
        let mode = |name: &str| fs::metadata(store.folder.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(""), mode(STATE_FILE), mode(LOCK_FILE)), (0o700, 0o600, 0o600));
        for name in [STATE_FILE, LOCK_FILE] {
            fs::set_permissions(store.folder.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        let path = store.folder.clone();
        drop(store);
        let store = StateStore::open(&path).unwrap();
        assert!(matches!(store.load(1), LoadedState::State(_)));
        write(&store).unwrap();
        let mode = |name: &str| fs::metadata(store.folder.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(STATE_FILE), mode(LOCK_FILE)), (0o600, 0o600));
    }

    #[test]
    fn a_file_that_no_state_can_be_as_large_as_is_set_aside_unread() {
        let (_folder, store) = store();
        write(&store).unwrap();
        let file = File::options().write(true).open(store.folder.join(STATE_FILE)).unwrap();
        file.set_len(max_state_bytes(1) + 1).unwrap();
        let LoadedState::Damaged { why, .. } = store.load(1) else { panic!("it was read") };
        assert!(why.contains("never exceeds 66MiB"), "{why}");
        assert_eq!((max_state_bytes(0), max_state_bytes(usize::MAX)), (MIN_SIZE_LIMIT, MAX_STATE_BYTES));
    }
}
