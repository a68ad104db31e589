//! A disk on which something happens beside what is asked of it, for tests of readers that meet it.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::sim::SimFs;
use crate::store::journal::storage::{Access, Held, Storage, StoredFile};

/// The disk, and what happens.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) disk: SimFs,
    /// Whether there is no place for indexes.
    pub(super) refuses: bool,
    /// Once a file was made, before anything is in it.
    pub(super) made: fn(&SimFs),
    /// Before a file is removed.
    pub(super) removes: fn(&SimFs, &str),
    /// Before a file is opened.
    pub(super) opens: fn(&SimFs, &str),
    /// A file that is just being replaced by another one: every other listing shows neither.
    pub(super) replaced: Option<String>,
    /// Whether the next listing shows it.
    pub(super) shows: Mutex<bool>,
}

impl Beside {
    /// Nothing happens yet.
    pub(super) fn new(disk: &SimFs) -> Self {
        Self {
            disk: disk.clone(),
            refuses: false,
            made: |_| {},
            removes: |_, _| {},
            opens: |_, _| {},
            replaced: None,
            shows: Mutex::new(false),
        }
    }

    fn refuse(&self, name: &str) -> io::Result<()> {
        let refuses = self.refuses && name.ends_with(".index");
        if refuses { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

impl Storage for Beside {
    fn place(&self) -> &Path {
        self.disk.place()
    }
    fn make_directory(&self) -> io::Result<()> {
        self.disk.make_directory()
    }
    fn is_open_to_others(&self) -> io::Result<bool> {
        self.disk.is_open_to_others()
    }
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.names()?;
        if let Some(replaced) = &self.replaced {
            let mut shows = self.shows.lock().expect("no panic");
            names.retain(|name| *shows || name != replaced);
            *shows = !*shows;
        }
        Ok(names)
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        self.refuse(name)?;
        let file = self.disk.create(name)?;
        (self.made)(&self.disk);
        Ok(file)
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StoredFile>> {
        self.refuse(name)?;
        (self.opens)(&self.disk, name);
        self.disk.open(name, access)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }
    fn lock(&self, name: &str, note: &str) -> io::Result<Box<dyn Held>> {
        self.disk.lock(name, note)
    }
    fn is_locked(&self, name: &str) -> io::Result<bool> {
        self.disk.is_locked(name)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.refuse(name)?;
        (self.removes)(&self.disk, name);
        self.disk.remove(name)
    }
    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        self.disk.rename(name, to)
    }
    fn below(&self, name: &str) -> Arc<dyn Storage> {
        self.disk.below(name)
    }
}
