//! The backup job of the demo: writes a small SQL dump with gzip every few seconds and deletes old dumps.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use jiff::{Timestamp, ToSpan};

use super::faults::Faults;

const BACKUP_INTERVAL: Duration = Duration::from_secs(5);
const MAX_BACKUPS: usize = 12;

/// Creates past backups, then makes backups until it is dropped.
pub(super) async fn run(folder: PathBuf, faults: Arc<Faults>) {
    let mut made = Vec::new();
    for ago in (1..=5).rev() {
        make_backup(&folder, &mut made, Timestamp::now() - (ago * 5).seconds());
    }
    let mut tick = tokio::time::interval(BACKUP_INTERVAL);
    loop {
        tick.tick().await;
        if faults.is_backup_enabled() {
            make_backup(&folder, &mut made, Timestamp::now());
        }
    }
}

fn make_backup(folder: &Path, made: &mut Vec<PathBuf>, at: Timestamp) {
    let path = folder.join(format!("orders-{}.dump.gz", at.strftime("%Y%m%dT%H%M%SZ")));
    match write(&path, at) {
        Ok(()) => made.push(path),
        Err(error) => tracing::error!(%error, path = %path.display(), "the demo's backup can't be written"),
    }
    while made.len() > MAX_BACKUPS {
        // The file may already be deleted.
        let _ = std::fs::remove_file(made.remove(0));
    }
}

/// Writes a temporary file and renames it, like a real backup job.
fn write(path: &Path, at: Timestamp) -> io::Result<()> {
    let draft = path.with_extension("part");
    let mut dump = GzEncoder::new(std::fs::File::create(&draft)?, Compression::fast());
    // The check `integrity` reads these lines of pg_dump: the closing one proves that the dump is complete.
    writeln!(dump, "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE orders (id int, at timestamptz, amount int);")?;
    for row in 0..200 {
        writeln!(dump, "INSERT INTO orders VALUES ({row}, '{at}', {});", row * 7 % 100)?;
    }
    writeln!(dump, "\n--\n-- PostgreSQL database dump complete\n--\n")?;
    let file = dump.finish()?;
    file.set_modified(at.into())?;
    std::fs::rename(draft, path)
}
