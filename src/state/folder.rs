//! Detects a state folder in which other users can replace files.
//!
//! It reports only permissions that are wrong in every environment. Kubernetes volumes with an `fsGroup` are
//! group-writable, an `emptyDir` is world-writable, and the sticky bit protects `/tmp`. Warnings about these would
//! teach operators to ignore the log.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

const STICKY_BIT: u32 = 0o1000;
const OTHERS_WRITE_BIT: u32 = 0o002;
const ROOT_UID: u32 = 0;
/// Owner that the kernel reports for a user outside of the user namespace.
const OVERFLOW_UID: u32 = 65_534;

/// Owner and mode of a folder, and whether it is a mount point.
#[derive(Debug, Clone, Copy)]
struct FolderAccess {
    owner: u32,
    mode: u32,
    is_mount: bool,
}

/// Describes how other users can replace the state, and the correction; `None` if they can't, or if it is unknown.
pub(super) fn describe_risk(folder: &Path) -> Option<String> {
    let found = fs::metadata(folder).ok()?;
    let access = FolderAccess { owner: found.uid(), mode: found.mode(), is_mount: is_mount(folder, &found) };
    assess(access, rustix::process::geteuid().as_raw())
}

fn assess(access: FolderAccess, own: u32) -> Option<String> {
    let FolderAccess { owner, mode, is_mount } = access;
    if owner != own && owner != ROOT_UID && owner != OVERFLOW_UID {
        return Some(format!(
            "it belongs to user {owner}, who can replace the state; this process runs as user {own}: `chown {own}` it, or \
             give the daemon a folder of its own with `state`"
        ));
    }
    // Only the containers of a pod can access a volume of the pod.
    let is_volume = is_mount && owner != own;
    if mode & OTHERS_WRITE_BIT != 0 && mode & STICKY_BIT == 0 && !is_volume {
        return Some(format!(
            "every user can replace the state (mode {:04o}): `chmod o-w` it, or give the daemon a folder of its own \
             with `state`",
            mode & 0o7777
        ));
    }
    None
}

fn is_mount(folder: &Path, found: &Metadata) -> bool {
    let above = folder.canonicalize().ok().and_then(|folder| fs::metadata(folder.parent()?).ok());
    above.is_some_and(|above| above.dev() != found.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_are_wrong_everywhere_are_a_risk() {
        let own = 1_000;
        let risk = |owner, mode, is_mount| assess(FolderAccess { owner, mode, is_mount }, own);
        for (what, owner, mode, is_mount) in [
            ("StateDirectory of systemd", own, 0o700, false),
            ("StateDirectory with its default mode", own, 0o755, false),
            ("StateDirectory behind BindPaths", own, 0o755, true),
            ("emptyDir", ROOT_UID, 0o777, true),
            ("emptyDir with fsGroup", ROOT_UID, 0o2777, true),
            ("persistent volume with fsGroup", ROOT_UID, 0o2775, true),
            ("volume in a user namespace", OVERFLOW_UID, 0o2775, true),
            ("/tmp", ROOT_UID, 0o1777, false),
            ("folder of a package", ROOT_UID, 0o2770, false),
        ] {
            assert_eq!(risk(owner, mode, is_mount), None, "{what}");
        }
        assert!(risk(own, 0o777, false).is_some_and(|text| text.contains("mode 0777")));
        assert!(risk(own, 0o777, true).is_some(), "a folder of ours that is open to everybody");
        assert!(risk(ROOT_UID, 0o777, false).is_some());
        assert!(risk(1_001, 0o700, false).is_some_and(|text| text.contains("belongs to user 1001")));
        assert!(risk(1_001, 0o2775, true).is_some());
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_risk() {
        assert_eq!(super::describe_risk(Path::new("/nowhere/at/all")), None);
    }
}
