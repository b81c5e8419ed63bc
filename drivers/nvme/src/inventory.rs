//! Which namespaces there are, and what each is like (NVMe base specification 2.0, section 5.17).
//!
//! A controller lists its active namespaces, and is asked about each. One that cannot be identified
//! is listed as such. What is listed out of order cannot be believed, and ends the list.

use crate::admin::{CommandSet, Identify};
use crate::error::Error;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::namespace::{Description, Namespace, stripe};
use crate::platform::Platform;
use crate::shared::Shared;
use crate::wire::{
    Descriptors, IdentifyNamespace, NvmController, NvmNamespace, ZonedController, ZonedNamespace,
};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most namespaces that the driver keeps, and most that it asks for one by one.
const MAX_NAMESPACES: usize = 1024;

impl<P: Platform> Shared<P> {
    /// Lists the active namespaces and identifies each.
    pub(crate) async fn identify_namespaces(self: &Arc<Self>) -> Result<(), Error> {
        const INVALID_FIELD: u8 = 0x02;
        let identity = self.state.lock().identity;
        let set = self.identify_command_set(&identity).await?;
        let mut namespaces = Vec::new();
        let mut left_out = false;
        match self.list_active_namespaces(identity.max_namespace).await {
            Ok((active, is_cut)) => {
                left_out = is_cut;
                for id in active {
                    namespaces.push(self.identify_namespace(id, &identity, set.as_ref()).await?);
                }
            }
            // Controllers before version 1.1 have no such list.
            Err(Error::Command(error))
                if error.status.sct() == 0 && error.status.sc() == INVALID_FIELD =>
            {
                let most = MAX_NAMESPACES as u32;
                left_out |= identity.max_namespace > most;
                for id in 1..=identity.max_namespace.min(most) {
                    namespaces.push(self.identify_namespace(id, &identity, set.as_ref()).await?);
                }
                // An inactive namespace is described by zeros.
                namespaces.retain(|namespace| !namespace.looks_inactive());
            }
            Err(error) => return Err(error),
        }
        let mut state = self.state.lock();
        state.namespaces = namespaces;
        state.namespaces_left_out = left_out;
        Ok(())
    }

    /// The identifiers of the active namespaces, in order, and whether there may be more.
    ///
    /// The list comes in pages of 1024. An identifier that is no larger than the one
    /// before, or too large altogether, ends it: the rest cannot be believed.
    async fn list_active_namespaces(
        self: &Arc<Self>,
        largest: u32,
    ) -> Result<(Vec<u32>, bool), Error> {
        let mut active = Vec::new();
        let mut last = 0;
        loop {
            let what = Identify::ActiveNamespaces(last);
            let data = self.identify(what).await?;
            let (ids, _) = data.as_chunks::<4>();
            for id in ids.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
                if id == 0 {
                    return Ok((active, false));
                }
                let is_credible = id > last && id <= largest;
                if !is_credible || active.len() == MAX_NAMESPACES {
                    return Ok((active, true));
                }
                last = id;
                active.push(id);
            }
        }
    }

    async fn identify_namespace(
        self: &Arc<Self>,
        id: u32,
        identity: &Identity,
        set: Option<&NvmController>,
    ) -> Result<Namespace, Error> {
        let limits = Limits::of(identity, self.entries() - 1);
        let data = match self.identify(Identify::Namespace(id)).await {
            Ok(data) => data,
            Err(Error::Command(error)) => {
                return Ok(Namespace::not_identified(id, error.status, limits));
            }
            Err(error) => return Err(error),
        };
        let mut description = Description {
            identify: IdentifyNamespace::decode(&data),
            ..Description::default()
        };
        if identity.has_descriptors()
            && let Some(data) = self.try_identify(Identify::Descriptors(id)).await?
        {
            description.descriptors = Descriptors::decode(&data);
        }
        if identity.abilities.extended_formats {
            let what = Identify::NamespaceOf(id, CommandSet::Nvm);
            let data = self.try_identify(what).await?;
            description.extended = data.map(|data| NvmNamespace::decode(&data));
        }
        if description.descriptors.csi == Some(CommandSet::Zoned.csi()) {
            let what = Identify::NamespaceOf(id, CommandSet::Zoned);
            let controller = Identify::ControllerOf(CommandSet::Zoned);
            if let Some(namespace) = self.try_identify(what).await?
                && let Some(controller) = self.try_identify(controller).await?
            {
                let zoned = ZonedNamespace::decode(&namespace);
                description.zoned = Some((zoned, ZonedController::decode(&controller)));
            }
        }
        if identity.quirks.false_identifiers() {
            description.descriptors = Descriptors {
                csi: description.descriptors.csi,
                ..Descriptors::default()
            };
            description.identify.nguid = [0; 16];
            description.identify.eui64 = [0; 8];
        }
        if identity.quirks.stripes() && description.identify.noiob == 0 {
            description.identify.noiob = stripe(&description.identify);
        }
        let namespace = Namespace::new(id, &description, limits);
        let namespace = namespace.with_controller(
            &description.identify,
            set,
            &identity.abilities,
            identity.write_cache,
        );
        Ok(namespace)
    }

    /// What the controller says of the NVM command set. It may say nothing.
    async fn identify_command_set(
        self: &Arc<Self>,
        identity: &Identity,
    ) -> Result<Option<NvmController>, Error> {
        // Controllers before version 2.0 say it only if they have several command sets.
        if !self.port.cap().css_selectable() && identity.version.major() < 2 {
            return Ok(None);
        }
        let data = self.try_identify(Identify::ControllerOf(CommandSet::Nvm));
        Ok(data.await?.map(|data| NvmController::decode(&data)))
    }
}
