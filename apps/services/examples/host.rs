//! The services on the host, over its own TCP: for other people's clients to be tried on them.
//!
//! ```text
//! cargo run -p services --example host -- IMAGE
//! ```
//!
//! `IMAGE` is an ext4 file system. It is served over HTTP, and as a disk over NBD; what is written to it
//! stays in memory. The ports are printed, and it runs until it is stopped.

use kernel::block::RamDisk;
use kernel::dma::Memory;
use kernel::net::{Stream, StreamError};
use services::clock::Clock;
use services::http::files::{FileSource, Volume};
use services::http::path::Path;
use services::http::{self, Found, Site, Trouble};
use services::iperf;
use services::nbd::{self, Export};
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A connection of the host, looked at again and again.
struct Tcp(TcpStream);

fn ready<T>(result: std::io::Result<T>) -> Poll<Result<T, StreamError>> {
    match result {
        Ok(value) => Poll::Ready(Ok(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        Err(_) => Poll::Ready(Err(StreamError::Reset)),
    }
}

impl Stream for Tcp {
    fn read(&mut self, into: &mut [u8]) -> impl Future<Output = Result<usize, StreamError>> {
        poll_fn(|_| ready(self.0.read(into)))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = poll_fn(|_| ready(self.0.write(rest))).await?;
            rest = &rest[written..];
        }
        Ok(())
    }

    async fn send(&mut self, memory: Memory) -> Result<(), StreamError> {
        self.write(memory.bytes()).await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StreamError> {
        let _ = self.0.shutdown(Shutdown::Write);
        Ok(())
    }

    fn peer(&self) -> SocketAddr {
        self.0.peer_addr().expect("it is connected")
    }
}

/// The clock of the host.
struct HostClock(Instant);

impl Clock for HostClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let end = self.now() + time;
        poll_fn(move |_| match self.now() >= end {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    }
}

struct Files(Volume);

impl Site for Files {
    type Source = FileSource;

    async fn find(&self, path: &Path) -> Result<Found<FileSource>, Trouble> {
        self.0.find(path).await
    }
}

fn main() {
    let image = std::env::args()
        .nth(1)
        .expect("which image? it is an ext4 file system");
    let bytes = std::fs::read(&image).expect("the image can be read");
    let _memory = kernel::memory::frames::host::arena();
    let disk = Arc::new(RamDisk::new("ram0", 512, bytes));
    let clock = HostClock(Instant::now());
    let files = Files(Volume::new(disk.clone()));
    let http_counters = http::Counters::new(64);
    let nbd_counters = Arc::new(nbd::Counters::new(64));
    let export = Arc::new(Export::new(disk, true, nbd_counters.clone()));
    let exports = vec![export];
    let listen = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        listener.set_nonblocking(true).expect("it can be looked at");
        listener
    };
    let (web, disks, speed) = (listen(), listen(), listen());
    let iperf = iperf::Server::default();
    let port = |listener: &TcpListener| listener.local_addr().expect("it has one").port();
    println!(
        "ready http=http://127.0.0.1:{} nbd=nbd://127.0.0.1:{}/ram0 iperf={}",
        port(&web),
        port(&disks),
        port(&speed)
    );
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = vec![];
    loop {
        let accept = |listener: &TcpListener| {
            let (stream, _) = listener.accept().ok()?;
            stream.set_nonblocking(true).ok()?;
            stream.set_nodelay(true).ok()?;
            Some(Tcp(stream))
        };
        if let Some(stream) = accept(&web) {
            let serve = http::serve(
                stream,
                &files,
                &http::Limits::DEFAULT,
                &http_counters,
                &clock,
            );
            tasks.push(Box::pin(async { eprintln!("http: {:?}", serve.await) }));
        }
        if let Some(stream) = accept(&disks) {
            let serve = nbd::serve(
                stream,
                &exports,
                &nbd::Limits::DEFAULT,
                &nbd_counters,
                &clock,
            );
            tasks.push(Box::pin(async { eprintln!("nbd: {:?}", serve.await) }));
        }
        if let Some(stream) = accept(&speed) {
            let serve = iperf.serve(stream, &iperf::Limits::DEFAULT, &clock);
            tasks.push(Box::pin(async { eprintln!("iperf: {:?}", serve.await) }));
        }
        let mut cx = Context::from_waker(Waker::noop());
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        std::thread::sleep(Duration::from_micros(match tasks.len() {
            0 => 1000,
            _ => 20,
        }));
    }
}
