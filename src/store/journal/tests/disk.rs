//! A disk that fails and forgets as it is told.
//!
//! It keeps what a program sees and what would survive a power cut apart. A failed sync loses
//! what it should have saved, and later ones succeed all the same, as real ones do.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use crate::store::journal::lock::LOCK;
use crate::store::journal::storage::{Access, Held, Storage, StoredFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Call {
    Names,
    Create,
    Open,
    SyncDirectory,
    Append,
    Read,
    Length,
    Cut,
    Sync,
}

/// What the disk does instead of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Fails,
    /// An append takes this many bytes, and the one after it fails.
    Short(usize),
}

type Plan = Box<dyn FnMut(usize, Call) -> Fault + Send>;

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) bytes: Vec<u8>,
    /// Up to here a sync was told to have succeeded.
    pub(super) synced: usize,
    /// Parts of that which a failed sync lost.
    holes: Vec<(usize, usize)>,
}

#[derive(Default)]
pub(super) struct Ground {
    pub(super) files: BTreeMap<String, Arc<Mutex<Inode>>>,
    /// Names that survive a power cut.
    named: Vec<String>,
    locked: bool,
    calls: usize,
    plan: Option<Plan>,
    fail_next_append: bool,
    pub(super) read_bytes: u64,
}

#[derive(Clone, Default)]
pub(super) struct TestDisk(Arc<Mutex<Ground>>);

impl fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestDisk")
    }
}

impl TestDisk {
    pub(super) fn ground(&self) -> MutexGuard<'_, Ground> {
        // A failing assertion may hold it; the lock file is given back all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn plan(&self, plan: impl FnMut(usize, Call) -> Fault + Send + 'static) {
        let mut ground = self.ground();
        ground.calls = 0;
        ground.plan = Some(Box::new(plan));
    }

    pub(super) fn heal(&self) {
        let mut ground = self.ground();
        ground.plan = None;
        ground.fail_next_append = false;
    }

    fn ask(&self, call: Call) -> io::Result<Fault> {
        let mut ground = self.ground();
        ground.calls += 1;
        let number = ground.calls;
        if call == Call::Append && std::mem::take(&mut ground.fail_next_append) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fault = ground.plan.as_mut().map_or(Fault::None, |plan| plan(number, call));
        match fault {
            Fault::Fails if call == Call::Append => Err(io::ErrorKind::StorageFull.into()),
            Fault::Fails => Err(io::Error::from_raw_os_error(libc::EIO)),
            Fault::Short(_) if call == Call::Append => {
                ground.fail_next_append = true;
                Ok(fault)
            }
            _ => Ok(Fault::None),
        }
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
        let ground = self.ground();
        let survivor = Self::default();
        for (name, inode) in ground.files.iter().filter(|(name, _)| ground.named.contains(name)) {
            let inode = inode.lock().expect("no panic under the lock");
            let kept = (inode.synced + more).min(inode.bytes.len());
            let mut bytes = inode.bytes[..kept].to_vec();
            for &(from, to) in &inode.holes {
                let kept = bytes.len();
                bytes[from.min(kept)..to.min(kept)].fill(0);
            }
            let inode = Inode { synced: bytes.len(), bytes, holes: Vec::new() };
            let mut after = survivor.ground();
            after.files.insert(name.clone(), Arc::new(Mutex::new(inode)));
            after.named.push(name.clone());
        }
        survivor
    }
}

impl Storage for TestDisk {
    fn place(&self) -> &Path {
        Path::new("test-disk")
    }
    fn make_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(false)
    }
    fn names(&self) -> io::Result<Vec<String>> {
        self.ask(Call::Names)?;
        Ok(self.ground().files.keys().cloned().collect())
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn StoredFile>> {
        self.ask(Call::Create)?;
        let mut ground = self.ground();
        if ground.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::<Mutex<Inode>>::default();
        ground.files.insert(name.to_owned(), Arc::clone(&inode));
        Ok(Box::new(TestFile { disk: self.clone(), inode }))
    }
    fn open(&self, name: &str, _: Access) -> io::Result<Box<dyn StoredFile>> {
        self.ask(Call::Open)?;
        let found = self.ground().files.get(name).cloned();
        let inode = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(TestFile { disk: self.clone(), inode }))
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.ask(Call::SyncDirectory)?;
        let mut ground = self.ground();
        ground.named = ground.files.keys().cloned().collect();
        Ok(())
    }
    fn lock(&self, name: &str, _: &str) -> io::Result<Box<dyn Held>> {
        assert_eq!(name, LOCK);
        if std::mem::replace(&mut self.ground().locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(TestLock(self.clone())))
    }
    fn is_locked(&self, _: &str) -> io::Result<bool> {
        Ok(self.ground().locked)
    }
}

#[derive(Debug)]
struct TestLock(TestDisk);

impl Held for TestLock {}

impl Drop for TestLock {
    fn drop(&mut self) {
        self.0.ground().locked = false;
    }
}

#[derive(Debug)]
struct TestFile {
    disk: TestDisk,
    inode: Arc<Mutex<Inode>>,
}

impl TestFile {
    fn inode(&self) -> MutexGuard<'_, Inode> {
        self.inode.lock().expect("no panic under the lock")
    }
}

impl StoredFile for TestFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.disk.ask(Call::Append)? {
            Fault::Short(most) => most.min(bytes.len()),
            _ => bytes.len(),
        };
        self.inode().bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
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
        let mut inode = self.inode();
        let length = usize::try_from(length).expect("small");
        inode.bytes.truncate(length);
        inode.synced = inode.synced.min(length);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let asked = self.disk.ask(Call::Sync);
        let mut inode = self.inode();
        let (from, to) = (inode.synced, inode.bytes.len());
        inode.synced = to;
        if asked.is_err() {
            // The pages are dropped and marked clean: nobody will ever write them.
            inode.holes.push((from, to));
        }
        asked.map(drop)
    }
}
