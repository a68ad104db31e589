//! A disk that fails and forgets as it is told.
//!
//! It keeps apart what programs see and what would survive a power cut, page by page. Between
//! the two lie dirty pages, which the system may write back in any order or not at all; names
//! that no sync of the directory covered; and the pages of a failed sync, which are neither dirty
//! nor on the disk, so that later syncs succeed all the same, as real ones do.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use super::inode::Inode;
use super::rng::Rng;
use crate::store::journal::lock::LOCK;
use crate::store::journal::storage::{Access, Held, Ownership, RunningSync, Storage, StoredFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Call {
    Names,
    Create,
    Open,
    SyncDirectory,
    Append,
    Write,
    Read,
    Length,
    Cut,
    Sync,
    Lock,
    Remove,
    Rename,
}

/// What the disk does instead of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Full for an append, else EIO.
    Fails,
    /// This error of the system.
    Error(i32),
    /// An append takes this many bytes, and the one after it fails with this error.
    Short(usize, i32),
    /// The process dies: a write takes this many bytes, any other call nothing, and no later
    /// call does anything.
    Dies(usize),
}

type Plan = Box<dyn FnMut(usize, Call) -> Fault + Send>;

/// What of the unsynced a power cut leaves.
#[derive(Debug)]
pub(super) enum Cut<'r> {
    /// What was synced, this many bytes more of each file, and no unsynced name.
    Keep(usize),
    /// Any of it, in any order.
    Chance(&'r mut Rng),
}

#[derive(Default)]
pub(super) struct Ground {
    pub(super) files: BTreeMap<String, Arc<Mutex<Inode>>>,
    /// The names that survive a power cut, and what they name then.
    named: BTreeMap<String, Arc<Mutex<Inode>>>,
    locked: BTreeSet<String>,
    dead: bool,
    calls: usize,
    plan: Option<Plan>,
    fail_next_append: Option<i32>,
    /// Whether a sync or a cut ever failed here.
    pub(super) failed_sync: bool,
    chance: Option<Rng>,
    pub(super) read_bytes: u64,
}

/// The disk, seen from one directory.
#[derive(Clone, Default)]
pub(super) struct SimFs {
    ground: Arc<Mutex<Ground>>,
    /// What the names of this directory's files begin with: empty for the first one.
    path: String,
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimFs")
    }
}

impl SimFs {
    /// A disk whose failed syncs write some of their pages.
    pub(super) fn by_chance(rng: Rng) -> Self {
        let disk = Self::default();
        disk.ground().chance = Some(rng);
        disk
    }

    pub(super) fn ground(&self) -> MutexGuard<'_, Ground> {
        // A failing assertion may hold it; the lock file is given back all the same.
        self.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plan(&self, plan: impl FnMut(usize, Call) -> Fault + Send + 'static) {
        let mut ground = self.ground();
        ground.calls = 0;
        ground.plan = Some(Box::new(plan));
    }

    pub(super) fn heal(&self) {
        let mut ground = self.ground();
        ground.plan = None;
        ground.fail_next_append = None;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.ground().dead
    }

    /// The process is gone and another one comes; the system lives on.
    pub(super) fn revive(&self) {
        let mut ground = self.ground();
        ground.dead = false;
        ground.locked.clear();
        ground.fail_next_append = None;
    }

    /// The system writes back some pages by itself.
    pub(super) fn write_back_some(&self, rng: &mut Rng) {
        for inode in self.ground().files.values() {
            let mut inode = inode.lock().expect("no panic under the lock");
            let pages: Vec<_> = inode.dirty.iter().copied().filter(|_| rng.one_in(2)).collect();
            for page in pages {
                inode.write_back(page);
                inode.dirty.remove(&page);
            }
        }
    }

    fn ask(&self, call: Call) -> io::Result<Fault> {
        let mut ground = self.ground();
        let gone = || io::Error::other("the process is dead");
        if ground.dead {
            return Err(gone());
        }
        ground.calls += 1;
        let number = ground.calls;
        if call == Call::Append
            && let Some(code) = ground.fail_next_append.take()
        {
            return Err(io::Error::from_raw_os_error(code));
        }
        let fault = ground.plan.as_mut().map_or(Fault::None, |plan| plan(number, call));
        let failed = match fault {
            Fault::Fails if call == Call::Append => Err(io::ErrorKind::StorageFull.into()),
            Fault::Fails => Err(io::Error::from_raw_os_error(libc::EIO)),
            Fault::Error(code) => Err(io::Error::from_raw_os_error(code)),
            Fault::Short(_, code) if call == Call::Append => {
                ground.fail_next_append = Some(code);
                Ok(fault)
            }
            Fault::Dies(_) => {
                ground.dead = true;
                let written = matches!(call, Call::Append | Call::Write);
                if written { Ok(fault) } else { Err(gone()) }
            }
            _ => Ok(Fault::None),
        };
        if failed.is_err()
            && !ground.dead
            && matches!(call, Call::Sync | Call::Cut | Call::SyncDirectory)
        {
            ground.failed_sync = true;
        }
        failed
    }

    /// Puts a file there, on the disk as well.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut ground = self.ground();
        let inode = Arc::clone(ground.files.entry(name.to_owned()).or_default());
        inode.lock().expect("no panic under the lock").set(bytes);
        ground.named.insert(name.to_owned(), inode);
    }

    /// What is in a file; nothing if there is none.
    pub(super) fn contents(&self, name: &str) -> Vec<u8> {
        let inode = self.ground().files.get(name).cloned();
        inode.map_or(Vec::new(), |inode| {
            inode.lock().expect("no panic under the lock").bytes.clone()
        })
    }

    /// Whether these bytes are in some file.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        self.ground().files.values().any(|inode| {
            let inode = inode.lock().expect("no panic under the lock");
            inode.bytes.windows(bytes.len()).any(|window| window == bytes)
        })
    }

    /// The disk after a power cut: what was synced, and `more` bytes of what was not.
    pub(super) fn after_power_cut(&self, more: usize) -> Self {
        self.cut_power(Cut::Keep(more))
    }

    /// The disk after a power cut.
    pub(super) fn cut_power(&self, mut cut: Cut<'_>) -> Self {
        let ground = self.ground();
        let survivor = Self::default();
        let mut after = survivor.ground();
        after.failed_sync = ground.failed_sync;
        after.chance.clone_from(&ground.chance);
        let names: BTreeSet<_> = ground.files.keys().chain(ground.named.keys()).collect();
        for name in names {
            // What no sync covered may have reached the disk or not: a name that came, one that
            // went, each of a rename's two.
            let reached = match &mut cut {
                Cut::Keep(_) => false,
                Cut::Chance(rng) => rng.one_in(2),
            };
            let left = if reached { ground.files.get(name) } else { ground.named.get(name) };
            if let Some(inode) = left {
                let inode = inode.lock().expect("no panic under the lock");
                let inode = Arc::new(Mutex::new(inode.after_power_cut(&mut cut)));
                after.files.insert(name.clone(), Arc::clone(&inode));
                after.named.insert(name.clone(), inode);
            }
        }
        drop(after);
        survivor
    }
}

impl Storage for SimFs {
    fn place(&self) -> &Path {
        Path::new("sim")
    }
    fn make_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(false)
    }
    fn names(&self) -> io::Result<Vec<String>> {
        self.ask(Call::Names)?;
        let ground = self.ground();
        let own = ground.files.keys().filter_map(|name| name.strip_prefix(&self.path));
        Ok(own.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        self.ask(Call::Create)?;
        let (name, mut ground) = (self.path.clone() + name, self.ground());
        if ground.files.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::<Mutex<Inode>>::default();
        ground.files.insert(name, Arc::clone(&inode));
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }
    fn open(&self, name: &str, _: Access) -> io::Result<Box<dyn StoredFile>> {
        self.ask(Call::Open)?;
        let found = self.ground().files.get(&(self.path.clone() + name)).cloned();
        let inode = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.ask(Call::SyncDirectory)?;
        let mut ground = self.ground();
        let Ground { files, named, .. } = &mut *ground;
        let own =
            |name: &String| name.strip_prefix(&self.path).is_some_and(|name| !name.contains('/'));
        named.retain(|name, _| !own(name));
        let files = files.iter().filter(|(name, _)| own(name));
        named.extend(files.map(|(name, inode)| (name.clone(), Arc::clone(inode))));
        Ok(())
    }
    fn lock(&self, name: &str, _: &str) -> io::Result<Box<dyn Held>> {
        assert!(!self.path.is_empty() || name == LOCK);
        self.ask(Call::Lock)?;
        let name = self.path.clone() + name;
        if !self.ground().locked.insert(name.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), name }))
    }
    fn is_locked(&self, name: &str) -> io::Result<bool> {
        Ok(self.ground().locked.contains(&(self.path.clone() + name)))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.ask(Call::Remove)?;
        let removed = self.ground().files.remove(&(self.path.clone() + name));
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }
    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        self.ask(Call::Rename)?;
        let (name, to) = (self.path.clone() + name, self.path.clone() + to);
        let mut ground = self.ground();
        assert!(!ground.files.contains_key(&to), "{to} is there already");
        let inode = ground.files.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        ground.files.insert(to, inode);
        Ok(())
    }
    fn below(&self, name: &str) -> Arc<dyn Storage> {
        let path = format!("{}{name}/", self.path);
        Arc::new(Self { ground: Arc::clone(&self.ground), path })
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimFs,
    name: String,
}

impl Held for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.ground().locked.remove(&self.name);
    }
}

#[derive(Clone, Debug)]
struct SimFile {
    disk: SimFs,
    inode: Arc<Mutex<Inode>>,
}

impl SimFile {
    fn inode(&self) -> MutexGuard<'_, Inode> {
        self.inode.lock().expect("no panic under the lock")
    }
}

/// A sync of what was dirty when it began. The disk does it at its begin or at its end: nobody
/// can tell before it says how it ended.
#[derive(Debug)]
struct SimSync {
    file: SimFile,
    pages: Vec<(usize, Vec<u8>)>,
    /// How it ended, once it was done.
    done: Option<io::Result<()>>,
    /// So often it is looked at in vain.
    looks: usize,
}

impl SimSync {
    fn work(&mut self) -> io::Result<()> {
        let asked = self.file.disk.ask(Call::Sync);
        if asked.is_ok() {
            self.file.inode().write_back_old(&self.pages);
        } else if !self.file.disk.is_dead() {
            let mut chance = self.file.disk.ground().chance.take();
            self.file.inode().lose_old(&self.pages, chance.as_mut());
            self.file.disk.ground().chance = chance;
        }
        asked.map(drop)
    }
}

impl RunningSync for SimSync {
    fn ended(&mut self, wait: bool) -> Option<io::Result<()>> {
        if !wait && self.looks > 0 {
            self.looks -= 1;
            return None;
        }
        Some(self.done.take().unwrap_or_else(|| self.work()))
    }
}

impl StoredFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.disk.ask(Call::Append)?;
        let taken = match fault {
            Fault::Short(most, _) | Fault::Dies(most) => most.min(bytes.len()),
            _ => bytes.len(),
        };
        self.inode().append(&bytes[..taken]);
        match fault {
            Fault::Dies(_) => Err(io::Error::other("the process is dead")),
            _ => Ok(taken),
        }
    }
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let fault = self.disk.ask(Call::Write)?;
        let taken = match fault {
            Fault::Dies(most) => most.min(bytes.len()),
            _ => bytes.len(),
        };
        self.inode().write(&bytes[..taken], usize::try_from(offset).expect("small"));
        match fault {
            Fault::Dies(_) => Err(io::Error::other("the process is dead")),
            _ => Ok(taken),
        }
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.ask(Call::Read)?;
        let inode = self.inode();
        let rest = inode.bytes.get(usize::try_from(offset).expect("small")..).unwrap_or(&[]);
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.disk.ground().read_bytes += count as u64;
        Ok(count)
    }
    fn length(&self) -> io::Result<u64> {
        self.disk.ask(Call::Length)?;
        Ok(self.inode().bytes.len() as u64)
    }
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.ask(Call::Cut)?;
        self.inode().cut(usize::try_from(length).expect("small"));
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let asked = self.disk.ask(Call::Sync);
        if asked.is_ok() {
            self.inode().write_back_all();
        } else if !self.disk.is_dead() {
            let mut chance = self.disk.ground().chance.take();
            self.inode().lose(chance.as_mut());
            self.disk.ground().chance = chance;
        }
        asked.map(drop)
    }
    fn begin_sync(&mut self) -> Option<Box<dyn RunningSync>> {
        let (refused, at_once, looks) = match &mut self.disk.ground().chance {
            Some(rng) => (rng.one_in(8), rng.one_in(2), rng.below(3)),
            None => (false, false, 1),
        };
        if refused {
            return None;
        }
        let inode = self.inode();
        let pages = inode.dirty.iter().map(|page| (*page, inode.page(*page).to_vec())).collect();
        drop(inode);
        let mut sync = SimSync { file: self.clone(), pages, done: None, looks };
        if at_once {
            sync.done = Some(sync.work());
        }
        Some(Box::new(sync))
    }
    fn ownership(&self) -> io::Result<Ownership> {
        Ok(Ownership { owner: 0, is_open_to_others: false })
    }
}
