//! Where the paths lead.

use super::view::{View, Volume};
use super::{json, metrics};
use crate::http::files::{self, DiskSource, FileSource};
use crate::http::path::Path;
use crate::http::shared::{self, SharedSource};
use crate::http::{self, Entry, Found, Resource, Site, Source, Trouble, kind};
use crate::nbd::{self, Export, Exports};
use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;

use alloc::vec::Vec;
use core::cell::RefCell;
use kernel::block::BlockError;
use kernel::dma::Memory;
use kernel::fs::Folder;

/// The page that draws the machine.
const PAGE: &str = include_str!("page.html");

/// Everything that a machine has to show.
pub struct Appliance<V, E> {
    view: V,
    /// The file system below `/files/`; without a name, the first.
    root: Option<String>,
    mounted: RefCell<Option<Mounted>>,
    exports: Arc<E>,
    http: Arc<http::Counters>,
    nbd: Arc<nbd::Counters>,
}

struct Mounted {
    volume: Rc<files::Volume>,
    /// How often its disk had been changed by then.
    changes: u64,
}

/// A file, or a disk.
pub enum AnySource {
    /// A file.
    File(FileSource),
    /// A file of the host's.
    Shared(SharedSource),
    /// A disk.
    Disk(DiskSource),
}

impl<V: View, E: Exports> Appliance<V, E> {
    /// A machine, the file system that is shown, and the exports, by which disks may be changed.
    pub fn new(
        view: V,
        root: Option<String>,
        exports: Arc<E>,
        http: Arc<http::Counters>,
        nbd: Arc<nbd::Counters>,
    ) -> Self {
        Self {
            view,
            root,
            mounted: RefCell::default(),
            exports,
            http,
            nbd,
        }
    }

    /// The file system below `/files/`.
    fn volume(&self) -> Result<Rc<files::Volume>, Trouble> {
        let volumes = self.view.volumes();
        let is_it = |volume: &&Volume| match &self.root {
            Some(name) => volume.device.name() == name,
            None => volume.has_ext4,
        };
        let found = volumes.iter().find(is_it).ok_or(Trouble::NotFound)?;
        let changes = self.changes(found.device.name());
        let mut mounted = self.mounted.borrow_mut();
        if let Some(mounted) = &mut *mounted
            && Arc::ptr_eq(mounted.volume.device(), &found.device)
        {
            if mounted.changes != changes {
                mounted.volume.forget();
                mounted.changes = changes;
            }
            return Ok(mounted.volume.clone());
        }
        let volume = Rc::new(files::Volume::new(found.device.clone()));
        *mounted = Some(Mounted {
            volume: volume.clone(),
            changes,
        });
        Ok(volume)
    }

    /// How often a disk, or what it is a part of, has been changed by a client. Names of partitions begin
    /// with those of their disks.
    fn changes(&self, name: &str) -> u64 {
        let meets = |export: &&Arc<Export>| {
            name.starts_with(export.name()) || export.name().starts_with(name)
        };
        let all = self.exports.all();
        let all = all.iter().filter(meets);
        all.map(|export| export.changes.get()).sum()
    }

    async fn file(&self, path: &Path) -> Result<Found<AnySource>, Trouble> {
        match (self.volume(), self.share()) {
            (Err(_), Some(share)) => {
                let found = shared::find(&*share, path).await?;
                Ok(wrap_found(found, AnySource::Shared))
            }
            (volume, _) => Ok(wrap_found(volume?.find(path).await?, AnySource::File)),
        }
    }

    /// The folder of the host's below `/files/`, if no disk is.
    fn share(&self) -> Option<Arc<dyn Folder>> {
        let shares = self.view.shares();
        let is_it = |share: &&Arc<dyn Folder>| match &self.root {
            Some(name) => share.name() == name,
            None => true,
        };
        shares.iter().find(is_it).cloned()
    }

    fn disk(&self, path: &Path) -> Result<Found<AnySource>, Trouble> {
        let volumes = self.view.volumes();
        let Some((name, rest)) = path.split_first() else {
            let entry = |volume: &Volume| Entry {
                name: volume.device.name().as_bytes().into(),
                is_folder: false,
                len: Some(volume.device.geometry().bytes()),
                modified: None,
            };
            return Ok(Found::Folder(volumes.iter().map(entry).collect()));
        };
        let is_it = |volume: &&Volume| volume.device.name().as_bytes() == name;
        let found = volumes.iter().find(is_it).ok_or(Trouble::NotFound)?;
        if rest.last().is_some() {
            return Err(Trouble::NotFound);
        }
        let disk = DiskSource(found.device.clone());
        Ok(Found::Resource(wrap(disk.resource(), AnySource::Disk)))
    }

    fn state(&self) -> String {
        let (state, volumes) = (self.view.state(), self.view.volumes());
        json::state(&state, &volumes, &self.http, &self.nbd)
    }

    fn metrics(&self) -> String {
        let (state, volumes) = (self.view.state(), self.view.volumes());
        metrics::page(&state, &volumes, &self.http, &self.nbd)
    }
}

impl<V: View, E: Exports> Site for Appliance<V, E> {
    type Source = AnySource;

    async fn find(&self, path: &Path) -> Result<Found<AnySource>, Trouble> {
        let Some((first, rest)) = path.split_first() else {
            return page(kind::HTML, Cow::Borrowed(PAGE.as_bytes()));
        };
        let names: Vec<&[u8]> = path.names().collect();
        match (first, names.as_slice()) {
            (b"files", _) => self.file(&rest).await,
            (b"disk", _) => self.disk(&rest),
            (b"metrics", [_]) => page(metrics::KIND, self.metrics().into_bytes().into()),
            (b"api", [_, b"state"]) => page(kind::JSON, self.state().into_bytes().into()),
            _ => Err(Trouble::NotFound),
        }
    }
}

fn page(kind: &'static str, bytes: Cow<'static, [u8]>) -> Result<Found<AnySource>, Trouble> {
    Ok(Found::Page { kind, bytes })
}

fn wrap_found<S>(found: Found<S>, with: impl FnOnce(S) -> AnySource) -> Found<AnySource> {
    match found {
        Found::Resource(resource) => Found::Resource(wrap(resource, with)),
        Found::Folder(entries) => Found::Folder(entries),
        Found::Page { kind, bytes } => Found::Page { kind, bytes },
    }
}

fn wrap<S>(resource: Resource<S>, with: impl FnOnce(S) -> AnySource) -> Resource<AnySource> {
    let Resource {
        source,
        len,
        kind,
        tag,
        modified,
    } = resource;
    Resource {
        source: with(source),
        len,
        kind,
        tag,
        modified,
    }
}

impl Source for AnySource {
    async fn fetch(&self, at: u64, most: usize) -> Result<Memory, BlockError> {
        match self {
            Self::File(file) => file.fetch(at, most).await,
            Self::Shared(file) => file.fetch(at, most).await,
            Self::Disk(disk) => disk.fetch(at, most).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{Extent, Kind, State};
    use super::*;
    use crate::testing::{TestClock, run};
    use kernel::block::{BlockDevice, RamDisk};
    use phyr::{Phyr, PhysAddr};
    use serde_json::Value;

    struct Fake(Vec<Volume>);

    impl View for Fake {
        fn state(&self) -> State {
            let extent = |start, kind, owner: &str| Extent {
                phyr: Phyr::new(PhysAddr::new(start), 4096).unwrap(),
                kind,
                owner: owner.into(),
            };
            State {
                memory: vec![
                    extent(0, Kind::Used, "RAM, \"in use\""),
                    extent(0xf_ffff_f000, Kind::Device, "<script>"),
                ],
                ..State::default()
            }
        }

        fn volumes(&self) -> Vec<Volume> {
            self.0.clone()
        }

        fn shares(&self) -> Vec<Arc<dyn Folder>> {
            Vec::new()
        }
    }

    fn appliance(exports: Vec<Arc<Export>>) -> Appliance<Fake, Vec<Arc<Export>>> {
        let disk = |name: &str| Volume {
            device: Arc::new(RamDisk::new(name, 512, vec![3; 4096])),
            has_ext4: false,
        };
        let view = Fake(vec![disk("nvme0n1"), disk("nvme0n1p1")]);
        let http = Arc::new(http::Counters::new(1));
        let nbd = Arc::new(nbd::Counters::new(1));
        Appliance::new(view, None, Arc::new(exports), http, nbd)
    }

    fn find(
        site: &Appliance<Fake, Vec<Arc<Export>>>,
        path: &str,
    ) -> Result<Found<AnySource>, Trouble> {
        let path = Path::parse(path).unwrap();
        run(&TestClock::default(), site.find(&path))
    }

    #[test]
    fn paths_lead_to_pages_and_disks() {
        let site = appliance(vec![]);
        site.http.sent.add(41);
        site.nbd.reads.add(42);
        let text = |path: &str, expected: &str| match find(&site, path).unwrap() {
            Found::Page { kind, bytes } => {
                assert!(kind.starts_with(expected), "{kind}");
                String::from_utf8(bytes.into_owned()).unwrap()
            }
            _ => panic!("{path} is no page"),
        };
        assert!(text("/", "text/html").contains("</html>"));
        for at_first in [true, false] {
            let metrics = text("/metrics", "text/plain");
            let [sent, reads] = if at_first { [41, 42] } else { [83, 142] };
            for line in [
                "phyros_disk_bytes{disk=\"nvme0n1p1\"} 4096",
                &format!("phyros_http_sent_bytes_total {sent}"),
                &format!("phyros_nbd_requests_total{{request=\"read\"}} {reads}"),
            ] {
                let is_there = metrics.lines().any(|found| found == line);
                assert!(is_there, "{line}\n{metrics}");
            }
            // A page is made anew each time.
            site.http.sent.add(42);
            site.nbd.reads.add(100);
        }
        let state: Value = serde_json::from_str(&text("/api/state", "application/json")).unwrap();
        assert_eq!(state["memory"][0]["owner"], "RAM, \"in use\"");
        assert_eq!(state["memory"][1]["start"], 0xf_ffff_f000u64);
        assert_eq!(state["disks"][1]["name"], "nvme0n1p1");
        match find(&site, "/disk/").unwrap() {
            Found::Folder(entries) => assert_eq!(entries[0].name, b"nvme0n1"),
            _ => panic!("no folder"),
        }
        match find(&site, "/disk/nvme0n1p1").unwrap() {
            Found::Resource(disk) => assert_eq!((disk.len, disk.tag), (4096, None)),
            _ => panic!("no disk"),
        }
        for nothing in [
            "/x",
            "/api",
            "/api/x",
            "/metrics/x",
            "/disk/x",
            "/disk/nvme0n1/x",
            "/files/",
        ] {
            assert_eq!(
                find(&site, nothing).err(),
                Some(Trouble::NotFound),
                "{nothing}"
            );
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        // What the machine says is text to it, never part of the page.
        assert!(!PAGE.contains("innerHTML"));
    }

    #[test]
    fn what_a_client_writes_concerns_the_disk_and_its_partitions() {
        let nbd = Arc::new(nbd::Counters::new(1));
        let device: Arc<dyn BlockDevice> = Arc::new(RamDisk::new("nvme0n1", 512, vec![3; 4096]));
        let export = Arc::new(Export::new(device, true, nbd));
        let site = appliance(vec![export.clone()]);
        let before = site.changes("nvme0n1p1");
        export.changes.add(1);
        assert_eq!(site.changes("nvme0n1p1"), before + 1);
        assert_eq!(site.changes("vda"), 0);
    }
}
