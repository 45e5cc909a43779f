//! Reads text files and secret files.

use std::path::Path;

use crate::io::{bounded_file, file_deadline};

/// Reads a regular file up to a size. The error completes a sentence that begins with the file name.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let path = path.to_owned();
    let read = move || bounded_file::read_bounded(&path, max).map_err(|refusal| refusal.to_string());
    decode_utf8(file_deadline::access(read)??)
}

/// Reads a secret file without its trailing line break, and warns if every user can read it.
pub(super) fn read_secret(path: &Path) -> Result<String, String> {
    let file = path.to_owned();
    let read = move || {
        let (bytes, found) =
            bounded_file::read_with_metadata(&file, MAX_SECRET_BYTES).map_err(|refusal| refusal.to_string())?;
        Ok::<_, String>((bytes, bounded_file::exposure_advice(&file, &found)))
    };
    let (bytes, exposure) = file_deadline::access(read)??;
    if let Some(advice) = exposure {
        tracing::warn!(file = %path.display(), advice, "a secret is readable by everyone");
    }
    let mut text = decode_utf8(bytes)?;
    if text.ends_with('\n') {
        text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
    }
    Ok(text)
}

fn decode_utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("is not UTF-8 text: see line {line}")
    })
}

/// Largest secret; a wrong path must not exhaust the memory.
const MAX_SECRET_BYTES: u64 = 64 << 10;
