//! Programs that read the files under `deploy/`. `tests/setup` installs them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The root of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Text of a file of the repository.
pub(super) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(super) fn tool(name: &str) -> Command {
    let tools: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/bin");
    let path = tools.join(name);
    assert!(path.exists(), "{} is not here: run tests/setup", path.display());
    let mut command = Command::new(path);
    command.current_dir(root());
    command
}

/// Output of a program, which must succeed.
pub(super) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Output of a program for an input, which must succeed.
pub(super) fn filter(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    writing.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
