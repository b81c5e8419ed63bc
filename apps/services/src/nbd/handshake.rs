//! The conversation before the first request.

use super::contexts::{self, Queries};
use super::export::{Export, Exports};
use super::limits::Limits;
use super::option::{self, About, ClientFlags, HEADER};
use super::session::End;
use super::wire::{self, GREETING, OPTION, answer, info};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use kernel::net::Stream;

/// What was agreed on.
pub(super) struct Agreed {
    /// The disk.
    pub(super) export: Arc<Export>,
    /// Reads have structured replies.
    pub(super) structured: bool,
    /// Requests may ask for the context.
    pub(super) status: bool,
}

/// Finds out what a client wants. `None`: nothing, or nothing that there is.
pub(super) async fn agree<S: Stream>(
    stream: &mut S,
    exports: &impl Exports,
    limits: &Limits,
) -> Result<Option<Agreed>, End> {
    let mut greeting = Vec::with_capacity(18);
    greeting.extend_from_slice(&GREETING.to_be_bytes());
    greeting.extend_from_slice(&OPTION.to_be_bytes());
    let flags = wire::handshake::FIXED | wire::handshake::NO_ZEROES;
    greeting.extend_from_slice(&flags.to_be_bytes());
    stream.write(&greeting).await?;
    let mut flags = [0; 4];
    if !exact(stream, &mut flags).await? {
        return Ok(None);
    }
    let client = option::client_flags(flags).ok_or(End::Nonsense)?;
    let mut talk = Talk {
        stream,
        exports,
        limits,
        client,
        structured: false,
        chosen: None,
    };
    for _ in 0..limits.options {
        match talk.option().await? {
            Next::Option => {}
            Next::End => return Ok(None),
            Next::Begin(export) => {
                let chosen = talk.chosen.as_ref();
                return Ok(Some(Agreed {
                    // What was chosen for another disk was not chosen for this one.
                    status: chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, &export)),
                    structured: talk.structured,
                    export,
                }));
            }
        }
    }
    Err(End::Nonsense)
}

struct Talk<'t, S, E> {
    stream: &'t mut S,
    exports: &'t E,
    limits: &'t Limits,
    client: ClientFlags,
    structured: bool,
    /// For which disk the context was chosen, if it was.
    chosen: Option<Arc<Export>>,
}

enum Next {
    /// Another option.
    Option,
    /// Nothing: the connection ends.
    End,
    /// Requests.
    Begin(Arc<Export>),
}

impl<S: Stream, E: Exports> Talk<'_, S, E> {
    async fn option(&mut self) -> Result<Next, End> {
        let mut header = [0; HEADER];
        if !exact(self.stream, &mut header).await? {
            return Ok(Next::End);
        }
        let (option, len) = option::header(&header).ok_or(End::Nonsense)?;
        if len > self.limits.option {
            // There is no way to refuse this one and go on.
            if len > self.limits.refused_option || option == wire::option::EXPORT_NAME {
                return Err(End::Nonsense);
            }
            self.skip(len).await?;
            return self.reply(option, answer::TOO_BIG, b"").await;
        }
        let mut data = vec![0; len as usize];
        if !exact(self.stream, &mut data).await? {
            return Ok(Next::End);
        }
        match option {
            wire::option::EXPORT_NAME => {
                let Some(export) = self.exports.find(&data) else {
                    return Ok(Next::End);
                };
                let len = export.abilities(0, self.structured).len;
                let begin = option::begin(len, export.flags(self.structured), self.client);
                self.stream.write(&begin).await?;
                Ok(Next::Begin(export))
            }
            wire::option::ABORT => {
                // The client need not wait for it.
                let _ = self.reply(option, answer::ACK, b"").await;
                Ok(Next::End)
            }
            wire::option::LIST if data.is_empty() => self.list().await,
            wire::option::STRUCTURED_REPLY if data.is_empty() => {
                self.structured = true;
                self.reply(option, answer::ACK, b"").await
            }
            wire::option::LIST | wire::option::STRUCTURED_REPLY => {
                let words = b"this option has no data";
                self.reply(option, answer::INVALID, words).await
            }
            wire::option::LIST_META_CONTEXT | wire::option::SET_META_CONTEXT => {
                self.contexts(option, &data).await
            }
            wire::option::INFO | wire::option::GO => self.about(option, &data).await,
            _ => {
                let words = b"this server does not know the option";
                self.reply(option, answer::UNSUPPORTED, words).await
            }
        }
    }

    async fn list(&mut self) -> Result<Next, End> {
        let option = wire::option::LIST;
        for export in self.exports.all() {
            let data = option::server(export.name());
            self.reply(option, answer::SERVER, &data).await?;
        }
        self.reply(option, answer::ACK, b"").await
    }

    async fn contexts(&mut self, option: u32, data: &[u8]) -> Result<Next, End> {
        let chooses = option == wire::option::SET_META_CONTEXT;
        if chooses {
            // Each choice is a new one, also if it fails.
            self.chosen = None;
        }
        if !self.structured {
            let words = b"structured replies have to be agreed on first";
            return self.reply(option, answer::INVALID, words).await;
        }
        let Some(queries) = Queries::parse(data) else {
            let words = b"the lengths in the option do not fit each other";
            return self.reply(option, answer::INVALID, words).await;
        };
        let Some(export) = self.exports.find(queries.name) else {
            let words = b"there is no such export; ask for a list";
            return self.reply(option, answer::UNKNOWN, words).await;
        };
        let (is_meant, id) = match chooses {
            true => (queries.selects(), contexts::ID),
            // In a list, the number says nothing.
            false => (queries.lists(), 0),
        };
        if is_meant {
            let data = contexts::context(id);
            self.reply(option, answer::META_CONTEXT, &data).await?;
            self.chosen = Some(export).filter(|_| chooses).or(self.chosen.take());
        }
        self.reply(option, answer::ACK, b"").await
    }

    async fn about(&mut self, option: u32, data: &[u8]) -> Result<Next, End> {
        let Some(about) = About::parse(data) else {
            let words = b"the lengths in the option do not fit each other";
            return self.reply(option, answer::INVALID, words).await;
        };
        let Some(export) = self.exports.find(about.name) else {
            let words = b"there is no such export; ask for a list";
            return self.reply(option, answer::UNKNOWN, words).await;
        };
        let can = export.abilities(self.limits.request, self.structured);
        let data = option::export(can.len, export.flags(self.structured));
        self.reply(option, answer::INFO, &data).await?;
        if about.wants(info::NAME) {
            let data = option::words(info::NAME, export.name());
            self.reply(option, answer::INFO, &data).await?;
        }
        if about.wants(info::DESCRIPTION) {
            let data = option::words(info::DESCRIPTION, "a disk of Phyros");
            self.reply(option, answer::INFO, &data).await?;
        }
        if about.wants(info::BLOCK_SIZE) {
            let preferred = export.block_size().clamp(4096, 1 << 16);
            let data = option::block_size(1, preferred, self.limits.request);
            self.reply(option, answer::INFO, &data).await?;
        }
        self.reply(option, answer::ACK, b"").await?;
        Ok(match option {
            wire::option::GO => Next::Begin(export),
            _ => Next::Option,
        })
    }

    async fn reply(&mut self, option: u32, answer: u32, data: &[u8]) -> Result<Next, End> {
        self.stream
            .write(&option::reply(option, answer, data))
            .await?;
        Ok(Next::Option)
    }

    async fn skip(&mut self, len: u32) -> Result<(), End> {
        let mut some = [0; 512];
        let mut left = len as usize;
        while left > 0 {
            let now = left.min(some.len());
            if !exact(self.stream, &mut some[..now]).await? {
                return Err(End::Nonsense);
            }
            left -= now;
        }
        Ok(())
    }
}

/// Fills `into`; `false` if the client closes before.
async fn exact<S: Stream>(stream: &mut S, into: &mut [u8]) -> Result<bool, End> {
    let mut filled = 0;
    while filled < into.len() {
        match stream.read(&mut into[filled..]).await? {
            0 => return Ok(false),
            read => filled += read,
        }
    }
    Ok(true)
}
