//! How a bucket is reached: settings from `logd.toml`, credentials from the environment or the machine's own identity.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use logconfig::{BucketKind, BucketUrl};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, Result as StoreResult, RetryConfig,
};
use reqwest::redirect::Policy;
use serde::Deserialize;

use crate::error::Error;
use crate::tls;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take, with its answer.
const REQUEST: Duration = Duration::from_secs(20);
/// Requests that fail are made again so often, and not after this.
const RETRIES: usize = 3;
const RETRY_UNTIL: Duration = Duration::from_secs(5);

pub(super) type Environment = Vec<(String, String)>;

/// How one bucket is reached, as an operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BucketSettings {
    /// Its address, when it is not at its provider's usual place: `https://HOST`.
    pub(crate) endpoint: Option<String>,
    /// Only for `s3://` buckets.
    pub(crate) region: Option<String>,
    /// Whether the endpoint may be plain HTTP.
    pub(crate) allow_http: bool,
    /// PEM: the authorities behind its HTTPS, instead of the platform's.
    pub(crate) ca: Option<PathBuf>,
    /// The prefix of its environment variables.
    pub(crate) env: Option<String>,
}

impl BucketSettings {
    /// The reason why the settings make no sense, if so.
    pub(crate) fn wrong(&self, url: &BucketUrl) -> Option<String> {
        if !url.prefix().is_empty() {
            let whole = url.whole();
            return Some(format!(
                "these settings hold for a whole bucket: [buckets.\"{whole}\"]"
            ));
        }
        if self.region.is_some() && url.kind() != BucketKind::S3 {
            return Some("region is for s3:// only".to_owned());
        }
        if let Some(endpoint) = &self.endpoint {
            let rest = endpoint
                .strip_prefix("https://")
                .or_else(|| endpoint.strip_prefix("http://"));
            let sound = |rest: &str| {
                !rest.is_empty()
                    && rest
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-_.:/[]".contains(&b))
            };
            if !rest.is_some_and(sound) {
                return Some(
                    "endpoint is https:// and a host, for example https://s3.example.org; credentials are not part of it"
                        .to_owned(),
                );
            }
            if endpoint.starts_with("http://") && !self.allow_http {
                return Some(
                    "endpoint is plain HTTP: use https://, or say allow_http = true".to_owned(),
                );
            }
        }
        let name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        match &self.env {
            Some(env) if env.is_empty() || !env.bytes().all(name) => Some(
                "env is the beginning of the names of environment variables, for example CDN_ for CDN_AWS_ACCESS_KEY_ID"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// HTTP clients for object stores; one for each set of authorities.
#[derive(Debug)]
pub(crate) struct Clients(BTreeMap<Option<PathBuf>, Connector>);

impl Clients {
    /// Clients for the platform's authorities and for these.
    pub(crate) fn new<'a>(
        authorities: impl Iterator<Item = Option<&'a Path>>,
    ) -> Result<Self, Error> {
        let mut clients = BTreeMap::new();
        for ca in authorities {
            let ca = ca.map(Path::to_owned);
            if let Entry::Vacant(vacant) = clients.entry(ca) {
                let connector = Connector::new(vacant.key().as_deref())?;
                vacant.insert(connector);
            }
        }
        Ok(Self(clients))
    }

    /// Opens a whole bucket; wrong credentials show when it is used.
    pub(crate) fn open(
        &self,
        url: &BucketUrl,
        settings: &BucketSettings,
    ) -> Result<Arc<dyn ObjectStore>, String> {
        let environment: Environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        self.open_with(url, settings, &environment)
    }

    /// The same, with this environment.
    pub(super) fn open_with(
        &self,
        url: &BucketUrl,
        settings: &BucketSettings,
        environment: &Environment,
    ) -> Result<Arc<dyn ObjectStore>, String> {
        let Some(connector) = self.0.get(&settings.ca).cloned() else {
            return Err("there is no client for it".to_owned());
        };
        let before = settings.env.as_deref().unwrap_or_default();
        let variables = |of| variables(environment, before, of);
        let opened = match url.kind() {
            BucketKind::S3 => s3(url, settings, variables("AWS_"), connector),
            BucketKind::Gcs => gcs(url, settings, variables("GOOGLE_"), connector),
            BucketKind::Azure => azure(url, settings, variables("AZURE_"), connector),
        };
        opened.map_err(|error| super::trouble::cause(&error))
    }
}

/// Gives the builders our client, with our provider of cryptography, instead of one of their own.
#[derive(Clone, Debug)]
struct Connector {
    secure: reqwest::Client,
    /// For metadata services of machines, and endpoints for which an operator allowed it.
    plain: reqwest::Client,
}

impl Connector {
    fn new(ca: Option<&Path>) -> Result<Self, Error> {
        let client = |secure: bool| -> Result<_, Error> {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls::client(ca, "buckets: ca")?)
                .https_only(secure)
                .http1_only()
                .redirect(Policy::none())
                .connect_timeout(CONNECT)
                .timeout(REQUEST)
                .tcp_nodelay(true)
                .no_proxy()
                .build()
                .map_err(|e| Error::Tls(format!("the client for object stores: {e}")))
        };
        Ok(Self {
            secure: client(true)?,
            plain: client(false)?,
        })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> StoreResult<HttpClient> {
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = match allowed.as_deref() {
            Some("true") => &self.plain,
            _ => &self.secure,
        };
        Ok(HttpClient::new(client.clone()))
    }
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_UNTIL,
    }
}

/// The environment's variables of a provider, without what an operator has put before their names. In lower case, as the builders
/// know them.
fn variables(environment: &Environment, before: &str, of: &str) -> Environment {
    environment
        .iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix(before)?;
            let known = name.starts_with(of);
            known.then(|| (name.to_ascii_lowercase(), value.clone()))
        })
        .collect()
}

fn s3(
    url: &BucketUrl,
    settings: &BucketSettings,
    variables: Environment,
    connector: Connector,
) -> StoreResult<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in variables {
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        // The specific key takes precedence over the general one that may be in the environment.
        if let Ok(key) = "aws_endpoint_url_s3".parse() {
            builder = builder.with_config(key, endpoint);
        }
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    let store = builder
        .with_bucket_name(url.bucket())
        .with_allow_http(settings.allow_http)
        .with_retry(retry())
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(store))
}

fn gcs(
    url: &BucketUrl,
    settings: &BucketSettings,
    variables: Environment,
    connector: Connector,
) -> StoreResult<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in variables {
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let options = ClientOptions::new().with_allow_http(settings.allow_http);
    let store = builder
        .with_bucket_name(url.bucket())
        .with_client_options(options)
        .with_retry(retry())
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(store))
}

fn azure(
    url: &BucketUrl,
    settings: &BucketSettings,
    variables: Environment,
    connector: Connector,
) -> StoreResult<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in variables {
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let store = builder
        .with_container_name(url.bucket())
        .with_allow_http(settings.allow_http)
        .with_retry(retry())
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(store))
}
