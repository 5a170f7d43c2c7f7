//! Large batches that are not published yet: in the server's own store, or on the storage nodes of the running configuration and
//! those that are leaving. A batch is there if any node that can be read has it intact.
//!
//! What must never happen: a batch is reported as lost although a node has it, or as present although no node has it.

use std::sync::Arc;

use logconfig::LOCAL;
use serde::Serialize;

use crate::document;
use crate::fsck::rows::batch_fault;
use crate::fsck::slots::Order;
use crate::fsck::{Findings, LogReport, StoreKind, remedy};
use crate::places::Opening;
use order::slot::BatchRef;
use store::{Coordination, Objects, StoreError};

/// Nodes that are leaving, at most.
const LEAVING: usize = 512;

/// Opens the storage node of a name, which is never `local`, or says why it cannot be read. It creates nothing.
pub type OpenNode<'a> = &'a (dyn Fn(&str) -> Opening<'a> + Sync);

/// The unpublished large batches on one storage node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// The node's name in the configuration.
    pub name: String,
    /// Batches that it has with the ordered bytes.
    pub intact: u64,
    /// Batches that it lacks and another node has: it was away, or still is. A running server writes them again.
    pub lacks: u64,
    /// Batches with other bytes than were ordered; each is a finding.
    pub damaged: u64,
    /// Why it was not read.
    pub trouble: Option<String>,
}

struct Node<'a> {
    /// Nothing is written to it any more.
    leaving: bool,
    store: Store<'a>,
    report: NodeReport,
}

enum Store<'a> {
    Local(&'a dyn Objects),
    Other(Arc<dyn Objects>),
    Closed,
}

impl Node<'_> {
    /// The fault of its copy, if it has one.
    async fn look(&self, key: &str, batch: &BatchRef) -> Result<Option<Option<String>>, String> {
        let objects = match &self.store {
            Store::Local(objects) => *objects,
            Store::Other(objects) => &**objects,
            Store::Closed => return Err(self.report.trouble.clone().unwrap_or_default()),
        };
        let bytes = objects.get(key).await.map_err(|e| e.to_string())?;
        Ok(bytes.map(|bytes| batch_fault(batch, &bytes)))
    }
}

/// How a batch was found.
pub(crate) enum Found {
    /// At least once as it was ordered.
    Intact,
    /// On no node; with the nodes that could not be read.
    Nowhere(String),
    /// Only damaged, which is already a finding.
    Damaged,
}

/// The places of large batches.
pub(crate) struct Large<'a> {
    nodes: Vec<Node<'a>>,
    /// There is more than the server's own store.
    several: bool,
}

impl<'a> Large<'a> {
    /// Opens the nodes that the running configuration names, and those that are leaving. A configuration that cannot be read is a finding
    /// elsewhere; then only the server's own store is used.
    pub(crate) async fn open(
        store: &dyn Coordination,
        order: &Order,
        local: &'a dyn Objects,
        open: OpenNode<'_>,
    ) -> Result<Self, StoreError> {
        let document = match document::read(store, &order.keys, &order.state.document).await {
            Ok(bytes) => document::whole(&bytes, &order.state.document, &order.state).ok(),
            Err(StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        let named = document.map_or_else(Vec::new, |document| document.merge.storage.nodes);
        let mut names: Vec<_> = named.iter().map(|node| node.name.to_string()).collect();
        if names.is_empty() {
            names.push(LOCAL.to_owned());
        }
        // Leaving nodes have batches that were written earlier.
        let prefix = order.keys.all_leaving();
        let leaving = store.scan(&prefix, &prefix, LEAVING).await?;
        let named = names.len();
        for (key, _) in leaving {
            let name = key[prefix.len()..].to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut nodes = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let (store, trouble) = match name.as_str() {
                LOCAL => (Store::Local(local), None),
                other => match open(other).await {
                    Ok(store) => (Store::Other(store), None),
                    Err(why) => (Store::Closed, Some(why)),
                },
            };
            let report = NodeReport {
                name: name.clone(),
                trouble,
                ..NodeReport::default()
            };
            nodes.push(Node {
                leaving: n >= named,
                store,
                report,
            });
        }
        Ok(Self {
            several: names != [LOCAL],
            nodes,
        })
    }

    /// Looks for a batch on every node. Damaged copies are always findings.
    pub(crate) async fn find(
        &mut self,
        key: &str,
        batch: &BatchRef,
        findings: &mut Findings<'_>,
    ) -> Found {
        let looks = self.nodes.iter().map(|node| node.look(key, batch));
        let looks = futures_util::future::join_all(looks).await;
        let intact = looks.iter().any(|look| matches!(look, Ok(Some(None))));
        let mut unread = Vec::new();
        let mut damaged = false;
        for (node, look) in self.nodes.iter_mut().zip(looks) {
            let report = &mut node.report;
            match look {
                Ok(Some(None)) => report.intact += 1,
                Ok(None) => report.lacks += u64::from(intact && !node.leaving),
                Ok(Some(Some(what))) => {
                    damaged = true;
                    report.damaged += 1;
                    let remedy = if intact {
                        remedy::COPY
                    } else {
                        remedy::ENTRIES
                    };
                    match node.store {
                        Store::Local(_) => findings.object(key, what, remedy),
                        _ => findings.add(
                            format!("{}/{key}", report.name),
                            StoreKind::Node,
                            what,
                            remedy,
                        ),
                    }
                }
                Err(why) => {
                    unread.push(format!("{}: {why}", report.name));
                    report.trouble = Some(why);
                }
            }
        }
        match (intact, damaged) {
            (true, _) => Found::Intact,
            (false, true) => Found::Damaged,
            (false, false) => Found::Nowhere(unread.join("; ")),
        }
    }

    /// The message about a missing batch.
    pub(crate) fn missing(&self, unread: &str, why: &str) -> String {
        let place = match self.several {
            true => " on every storage node that can be read",
            false => "",
        };
        let unread = match unread {
            "" => String::new(),
            unread => format!("; could not be read: {unread}"),
        };
        format!("missing{place}, although {why}{unread}")
    }

    /// Adds the holdings of each node to the report.
    pub(crate) fn report(self, report: &mut LogReport) {
        if self.several {
            report.nodes = self.nodes.into_iter().map(|node| node.report).collect();
        }
    }
}
