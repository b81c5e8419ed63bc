//! A stack, as programs have it.

use super::connection::Connection;
use super::connections::ListenError;
use super::engine::Engine;
use super::listener::Listener;
use super::options::{Backlog, ConnectionStatus, Ipv4, Options, Status};
use super::watching::Watch;
use crate::lock::Mutex;
use crate::net::{Interface, Stream, StreamError};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;

// ANCHOR: Transport
/// What programs need of a stack: whichever it is, they are written over this.
pub trait Transport {
    /// A connection.
    type Connection: Stream;

    /// Opens a connection.
    fn connect(
        &self,
        to: SocketAddr,
    ) -> impl Future<Output = Result<Self::Connection, StreamError>>;

    /// Has a function called with each connection that somebody opens to this port, for as long as the
    /// interface is there.
    fn serve(
        &self,
        port: u16,
        backlog: Backlog,
        with: impl FnMut(Self::Connection),
    ) -> impl Future<Output = Result<(), ListenError>>;
}
// ANCHOR_END: Transport

/// A stack on an interface. Clones are the same stack.
#[derive(Clone)]
pub struct Stack {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    engine: Mutex<Engine>,
}

impl Stack {
    /// A stack on an interface. It does nothing before it is [driven](Self::drive). `None` if the card has no
    /// address that a card can have.
    pub fn new(interface: Arc<dyn Interface>, options: Options) -> Option<Self> {
        let name = interface.name().to_string();
        let engine = Engine::new(interface, options, crate::executor::time())?;
        let engine = Mutex::new(engine);
        let shared = Arc::new(Shared { name, engine });
        Some(Self { shared })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Does something with the engine, and wakes who polls it if that left something to do.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut Engine) -> R) -> R {
        let (result, call) = {
            let mut engine = self.shared.engine.lock();
            let result = action(&mut engine);
            (result, engine.take_call())
        };
        if let Some(waker) = call {
            waker.wake();
        }
        result
    }

    /// Listens to a port, on all addresses.
    ///
    /// # Errors
    /// If somebody else does, or the interface is gone.
    pub fn listen(&self, port: u16, backlog: Backlog) -> Result<Listener, ListenError> {
        self.with(|engine| engine.listen(port, backlog))?;
        Ok(Listener::new(self.clone(), port))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If there is no way, nobody answers, or nobody listens there ([`StreamError::Reset`]).
    pub async fn connect(&self, to: SocketAddr) -> Result<Connection, StreamError> {
        let connection = self.with(|engine| {
            let id = engine.connect(to.into())?;
            Ok(Connection::new(self.clone(), id, to))
        })?;
        connection.opened().await?;
        Ok(connection)
    }

    /// Another IPv4 address from now on. Connections that had the old one fail.
    pub fn configure(&self, ipv4: Ipv4) {
        self.with(|engine| engine.configure(ipv4));
    }

    /// How things are.
    pub fn status(&self) -> Status {
        self.with(|engine| engine.status())
    }

    /// All connections, and all ports that are listened to.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.with(|engine| engine.connections())
    }

    /// Whether the interface is gone, and with it everything.
    pub fn is_gone(&self) -> bool {
        self.with(|engine| engine.is_gone)
    }

    /// Whether there is a way to an address through this interface.
    pub fn has_way(&self, to: IpAddr) -> bool {
        self.with(|engine| engine.has_way(&to.into()))
    }

    /// Whether an address is that of a machine on this link.
    pub fn is_near(&self, to: IpAddr) -> bool {
        self.with(|engine| {
            let mut all = engine.iface.ip_addrs().iter();
            all.any(|cidr| cidr.contains_addr(&to.into()))
        })
    }

    /// Ready when it has an IPv4 address, or will never have one because the interface is gone.
    pub async fn has_address(&self) -> bool {
        let watch = Watch::new(self);
        poll_fn(|cx| {
            self.with(|engine| {
                if engine.iface.ipv4_addr().is_some() || engine.is_gone {
                    return Poll::Ready(!engine.is_gone);
                }
                engine.watching.set(watch.number, cx.waker());
                Poll::Pending
            })
        })
        .await
    }
}

impl Transport for Stack {
    type Connection = Connection;

    async fn connect(&self, to: SocketAddr) -> Result<Connection, StreamError> {
        Self::connect(self, to).await
    }

    async fn serve(
        &self,
        port: u16,
        backlog: Backlog,
        mut with: impl FnMut(Connection),
    ) -> Result<(), ListenError> {
        let mut listener = self.listen(port, backlog)?;
        while let Ok(connection) = listener.accept().await {
            with(connection);
        }
        Ok(())
    }
}
