//! What encloses an item: its resource and its instrumentation scope.

use serde::Serialize;
use wire::WireError;
use wire::otlp::{self, View};

use crate::items::messages;
use crate::row::Row;
use crate::value::Attributes;

/// An instrumentation scope, decoded.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its attributes.
    pub attributes: Attributes,
}

/// What encloses an OTLP item.
#[derive(Debug, Default)]
pub(crate) struct Below {
    pub(crate) resource: Attributes,
    pub(crate) scope: Scope,
}

impl Below {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, WireError> {
        let resource = resource_of(row.resource)?.map(|resource| Attributes::read(resource.attributes()));
        let scope = scope_of(row.scope)?.map(|scope| Scope {
            name: scope.name.to_owned(),
            version: scope.version.to_owned(),
            attributes: Attributes::read(scope.attributes()),
        });
        Ok(Self { resource: resource.unwrap_or_default(), scope: scope.unwrap_or_default() })
    }
}

/// The resource in a `Resource…` message without scopes.
pub(crate) fn resource_of(envelope: &[u8]) -> Result<Option<otlp::Resource<'_>>, WireError> {
    Ok(messages(envelope, 1).last().transpose()?.map(|raw| otlp::Resource { raw }))
}

/// The scope in a `Scope…` message without items.
pub(crate) fn scope_of(envelope: &[u8]) -> Result<Option<otlp::Scope<'_>>, WireError> {
    messages(envelope, 1).last().transpose()?.map(otlp::Scope::read).transpose()
}
