//! Lives of a whole system on one thread, in virtual time, with everything going wrong.
//!
//! A seed decides everything: who takes part, what goes wrong, what operators do, and in which order tasks run. All code above the
//! drivers of the stores and the network is the real one. No disk, no socket, no thread, no clock of the system.
//!
//! | module | what |
//! |---|---|
//! | `plan`, `short`, `shapes` | what a seed decides beforehand |
//! | `life`, `apart` | one life, from the first start to the judgement |
//! | `many`, `mutants` | one life after the other |
//! | `found` | the whole log, read from the objects at the end |
//! | `world`, `process`, `server` | who is there; what runs, stands still or is dead |
//! | `stores` | a process's hold on the stores, and what goes wrong there |
//! | `peers`, `network`, `secondary`, `witness` | who copies and cosigns, and the way there |
//! | `members` | changes of the secondaries and witnesses |
//! | `disaster`, `loss`, `twins` | restores that are practiced, those after the loss of the primary, and two of them at once |
//! | `disks` | disks of secondaries that are lost or put back |
//! | `settings`, `versions` | changes of the document, and servers of an older version |
//! | `nodes`, `storage`, `remote` | where large batches are, and what is lost there |
//! | `frontends` | where readers find a copy, and what must be there |
//! | `importer` | operators who import the log of an old Rekor, and what must become of it |
//! | `http` | clients that speak HTTP: their requests, and what the answers must be |
//! | `writer`, `reader`, `operator` | who uses the log, and remembers what they were told |
//! | `judge`, `copies`, `eras`, `trail`, `changes`, `trees`, `recall`, `last`, `rows` | the rules |
//! | `shrink`, `trace`, `panics`, `random` | tools |

pub mod apart;
pub mod changes;
pub mod copies;
pub mod disaster;
pub mod disks;
pub mod eras;
pub mod found;
pub mod frontends;
pub mod http;
pub mod importer;
pub mod judge;
pub mod last;
pub mod life;
pub mod loss;
pub mod many;
pub mod members;
pub mod mutants;
pub mod network;
pub mod nodes;
pub mod older;
pub mod operator;
pub mod panics;
pub mod peers;
pub mod plan;
pub mod process;
pub mod random;
pub mod reader;
pub mod recall;
pub mod remote;
pub mod rows;
pub mod secondary;
pub mod server;
pub mod settings;
pub mod shapes;
pub mod short;
pub mod shrink;
pub mod storage;
pub mod stores;
pub mod trace;
pub mod trail;
pub mod trees;
pub mod twins;
pub mod versions;
pub mod witness;
pub mod world;
pub mod writer;
