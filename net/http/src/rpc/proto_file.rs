//! `worker_service.proto`, which clients are made from, says the same as the messages here.

use std::collections::BTreeMap;

/// By message, then by field: its number and what it is, as an attribute of the field has it.
type Messages = BTreeMap<String, BTreeMap<String, (String, String)>>;

const PROTO: &str = include_str!("../../worker_service.proto");
const SOURCES: [&str; 2] = [include_str!("messages.rs"), include_str!("stream_messages.rs")];
/// What is in the file and not read or told.
const UNUSED: [&str; 3] = ["trace_json", "stream_delta", "leader_addr"];

fn kind(of: &str) -> String {
    let scalars = ["string", "int32", "int64", "uint64", "double", "bool"];
    match of.strip_prefix("repeated ") {
        _ if of.starts_with("map<string, ") => "btree_map = \"string, message\"".to_owned(),
        Some(of) if scalars.contains(&of) => format!("{of}, repeated"),
        Some(_) => "message, repeated".to_owned(),
        None if scalars.contains(&of) => of.to_owned(),
        None => "message, optional".to_owned(),
    }
}

fn of_proto() -> Messages {
    let mut messages = Messages::new();
    let mut current = String::new();
    for line in PROTO.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some(rest) = line.strip_prefix("message ") {
            current = rest.split(' ').next().expect("a name").to_owned();
            messages.entry(current.clone()).or_default();
        } else if let Some((field, number)) = line.split_once(" = ")
            && let Some(fields) = messages.get_mut(&current)
        {
            let (of, name) = field.rsplit_once(' ').expect("a type and a name");
            let number = number.trim_end_matches(';').to_owned();
            let twice = fields.insert(name.to_owned(), (number, kind(of)));
            assert!(twice.is_none() && !current.is_empty(), "{current}.{name}");
        }
    }
    messages
}

fn of_sources() -> Messages {
    let mut messages = Messages::new();
    let (mut current, mut told) = (String::new(), None);
    for line in SOURCES.iter().flat_map(|source| source.lines()).map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub(super) struct ") {
            current = rest.split(' ').next().expect("a name").to_owned();
            messages.entry(current.clone()).or_default();
        } else if let Some(rest) = line.strip_prefix("#[prost(") {
            let (kind, number) = rest.split_once(", tag = \"").expect("a tag");
            told = Some((number.trim_end_matches("\")]").to_owned(), kind.to_owned()));
        } else if let Some(rest) = line.strip_prefix("pub(super) ")
            && let Some(told) = told.take()
        {
            let name = rest.split(':').next().expect("a name").trim_start_matches("r#");
            messages.get_mut(&current).expect("it is in one").insert(name.to_owned(), told);
        }
    }
    messages
}

#[test]
fn the_file_and_the_messages_agree() {
    let (mut file, mut ours) = (of_proto(), of_sources());
    assert_eq!(file.len(), 28);
    // Some are one here.
    let one = file.remove("FetchRequest").expect("it is there");
    assert!(one.iter().all(|(name, told)| file["FetchBatchRequest"].get(name) == Some(told)));
    assert_eq!(file.remove("LifecycleEnqueueItem").as_ref(), file.get("EnqueueRequest"));
    for name in ["AckResponse", "GetServerInfoRequest"] {
        assert_eq!(file.remove(name), ours.get("Empty").cloned());
    }
    ours.remove("Empty");
    // That of others.
    ours.remove("Timestamp");
    for fields in file.values_mut() {
        fields.retain(|name, _| !UNUSED.contains(&name.as_str()));
    }
    assert_eq!(file, ours);
}
