//! What the URL of a Logpush job says: dataset, tags, sampling, tenant.

use axum::extract::Query;
use http::Uri;
use model::{Refusal, RefusalKind, Tenant};
use normalize::{Hint, Shape};

use crate::auth::Caller;

/// What a job's URL says.
pub(crate) struct Url {
    /// For the records.
    pub(crate) hint: Hint,
    /// Not checked yet.
    pub(crate) tenant: Option<String>,
}

/// Reads the URL of a request below `base`. The path's dataset wins over the query's.
pub(crate) fn read(base: &str, uri: &Uri) -> Result<Url, Refusal> {
    let mut hint = Hint { shape: Shape::Logpush, ..Hint::default() };
    let mut tenant = None;
    let in_path =
        uri.path().strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).filter(|d| !d.is_empty());
    let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| Refusal::malformed(format!("query of the URL: {error}")))?;
    for (name, value) in parameters {
        match name.as_str() {
            "dataset" if !value.is_empty() => hint.dataset = Some(dataset(&value)?),
            "tenant" if !value.is_empty() => tenant = Some(value),
            "sample_rate" => {
                let good = value.parse::<f64>().is_ok_and(|rate| rate > 0.0 && rate <= 1.0);
                if !good {
                    return Err(Refusal::malformed(format!(
                        "sample_rate {value:?} is not above 0 and at most 1"
                    )));
                }
                hint.sample_rate = Some(value);
            }
            "tags" => {
                for tag in value.split(',').filter(|tag| !tag.is_empty()) {
                    let Some((key, value)) = tag.split_once(':').filter(|(key, _)| !key.is_empty()) else {
                        return Err(Refusal::malformed(format!("tag {tag:?} is not written key:value")));
                    };
                    hint.tags.push((key.to_owned(), value.to_owned()));
                }
            }
            // Others belong to the client or to a proxy before us.
            _ => {}
        }
    }
    if let Some(name) = in_path {
        hint.dataset = Some(dataset(name)?);
    }
    Ok(Url { hint, tenant })
}

fn dataset(name: &str) -> Result<String, Refusal> {
    let good = name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if good {
        Ok(name.to_owned())
    } else {
        Err(Refusal::malformed(format!("{name:?} is not the name of a dataset")))
    }
}

/// The tenant that a URL names, where the caller may say so.
pub(crate) fn choose(caller: Option<Caller>, named: &str) -> Result<Tenant, Refusal> {
    let Some(tenant) = Tenant::new(named) else {
        return Err(Refusal::malformed(format!("tenant {named:?} is not a tenant name")));
    };
    match caller {
        Some(caller) if caller.may_choose || caller.tenant == tenant => Ok(tenant),
        _ => Err(Refusal {
            kind: RefusalKind::Forbidden,
            message: format!(
                "tenant {tenant} may not be chosen by the URL; set tenant.header or bind the credential"
            ),
            retry_after: None,
        }),
    }
}
