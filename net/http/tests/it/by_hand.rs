//! Clients that others have published, against the real thing. They come from a registry, so this runs only where a Python
//! that has them is named:
//!
//! ```sh
//! python3 -m venv /tmp/clients && /tmp/clients/bin/pip install -r net/http/tests/clients.txt
//! JOBBIE_PYTHON=/tmp/clients/bin/python cargo test -p jobbie-http --test it published
//! ```

use std::process::Command;

use crate::support::Site;

#[test]
fn published_clients_work_unchanged() {
    let Ok(python) = std::env::var("JOBBIE_PYTHON") else {
        eprintln!("not run: JOBBIE_PYTHON names no Python with the published clients");
        return;
    };
    let site = Site::start(|_| {});
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients.py");
    let status = Command::new(python).args([script, &site.url]).status().expect("start Python");
    assert!(status.success(), "{status}");
}
