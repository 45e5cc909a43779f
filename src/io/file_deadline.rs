//! A time limit for accesses to files of the configuration. A file on a mount whose server is gone, or a device-like file
//! such as `/proc/kmsg`, may never answer.

use std::{sync::mpsc, thread, time::Duration};

/// Longest time of one access.
const ACCESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs an access on a thread of its own. After the time limit the thread is left behind, because a blocked access can't
/// be cancelled; it ends with the process at the latest.
///
/// # Errors
/// The end of a sentence that starts with the name of the file.
pub(crate) fn access<T: Send + 'static>(access: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    access_within(ACCESS_TIMEOUT, access)
}

fn access_within<T: Send + 'static>(limit: Duration, access: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, result) = mpsc::channel();
    let run = move || {
        // The receiver is gone if the time is over.
        let _ = sender.send(access());
    };
    let started = thread::Builder::new().name("file access".to_owned()).spawn(run);
    started.map_err(|error| format!("can't be read: no thread can be started: {error}"))?;
    result.recv_timeout(limit).map_err(|_| {
        format!("did not answer within {limit:?}: is it on a mount that does not respond, or a file that never ends?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_that_never_ends_is_given_up_and_any_other_returns_its_result() {
        assert_eq!(access_within(ACCESS_TIMEOUT, || 7), Ok(7));
        let (release, blocked) = mpsc::channel::<()>();
        let error = access_within(Duration::from_millis(50), move || blocked.recv()).unwrap_err();
        assert!(error.starts_with("did not answer within 50ms: "), "{error}");
        drop(release);
    }
}
