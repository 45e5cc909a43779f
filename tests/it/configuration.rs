//! Configurations: what is wrong with them is said in full, and what holds together loads.

use std::{collections::BTreeMap, fs, path::Path};

use readiness_exporter::settings::{self, Settings, Sources};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/configuration"))
}

fn load(path: &Path, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let environment: BTreeMap<_, _> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let sources = Sources { path: path.to_owned(), environment, ..Sources::default() };
    settings::load(&sources).map_err(|problems| problems.to_string().replace(&format!("{}/", folder().display()), ""))
}

/// Each `NAME.yaml` here has what is said about it beside it, in `NAME.txt`. To write those anew after a change that
/// is meant, run the test with `UPDATE=1` and read the difference.
#[test]
fn every_mistake_is_reported_once_with_its_place_its_line_and_the_nearest_word() {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let environment = [("PASSWORD", "hunter2"), ("NUMBER", "5"), ("READINESS_SERVER__LISTEN", "[::1]:0")];
        let said = load(&file, &environment).err().unwrap_or_else(|| panic!("{} loads", file.display()));
        assert!(!said.contains("hunter2"), "{said}");
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, format!("{said}\n")).unwrap();
        }
        assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), format!("{said}\n"), "{}", file.display());
    }
}
