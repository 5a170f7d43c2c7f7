//! Edits of a document's tiers and tenants. Pure: the server checks the rules for the result, and names every fault.

use logconfig::{QosConfig, TenantConfig, TierConfig, WriterToken};

use super::set::{QosSet, TenantArgs, TenantEdit, TierArgs, TierEdit};
use crate::error::Error;

/// Edits the settings. `token` is the one that the edit adds, if it adds one.
pub(super) fn apply(
    qos: &mut QosConfig,
    edit: &QosSet,
    token: Option<WriterToken>,
) -> Result<(), Error> {
    match edit {
        QosSet::Tier(TierArgs {
            name, remove: true, ..
        }) => {
            let there = qos.tiers.len();
            qos.tiers.retain(|tier| tier.name != *name);
            if qos.tiers.len() == there {
                return Err(unknown_tier(qos, name.as_str()));
            }
            for tenant in &mut qos.tenants {
                tenant.tiers.retain(|tier| tier != name);
            }
            Ok(())
        }
        QosSet::Tier(TierArgs { name, edit, .. }) => {
            if qos.tier(name).is_none() {
                if edit.tenants.is_empty() {
                    return Err(unknown_tier(qos, name.as_str()));
                }
                qos.tiers.push(TierConfig::new(name.clone()));
            }
            for wanted in &edit.tenants {
                let unknown = unknown_tenant(qos, wanted.as_str());
                let tenant = qos.tenants.iter_mut().find(|tenant| tenant.name == *wanted);
                let tenant = tenant.ok_or(unknown)?;
                if !tenant.tiers.contains(name) {
                    tenant.tiers.push(name.clone());
                }
            }
            let tier = qos.tiers.iter_mut().find(|tier| tier.name == *name);
            tier.into_iter().for_each(|tier| change_tier(tier, edit));
            Ok(())
        }
        QosSet::Tenant(TenantArgs {
            name, remove: true, ..
        }) => {
            let unknown = unknown_tenant(qos, name.as_str());
            let there = qos.tenants.len();
            qos.tenants.retain(|tenant| tenant.name != *name);
            match qos.tenants.len() == there {
                true => Err(unknown),
                false => Ok(()),
            }
        }
        QosSet::Tenant(TenantArgs { name, edit, .. }) => {
            if qos.tenant(name).is_none() {
                if edit.tiers.is_empty() {
                    return Err(unknown_tenant(qos, name.as_str()));
                }
                qos.tenants.push(TenantConfig::new(name.clone()));
            }
            if edit.anonymous == Some(true) {
                // There is at most one anonymous tenant, so it moves.
                qos.tenants
                    .iter_mut()
                    .for_each(|tenant| tenant.anonymous = false);
            }
            let tenant = qos.tenants.iter_mut().find(|tenant| tenant.name == *name);
            tenant.map_or(Ok(()), |tenant| change_tenant(tenant, edit, token))
        }
    }
}

fn change_tier(tier: &mut TierConfig, edit: &TierEdit) {
    let TierEdit {
        weight,
        floor,
        burst,
        max_merge_delay,
        latency_target,
        priority,
        tenants: _,
    } = edit;
    tier.weight = weight.unwrap_or(tier.weight);
    tier.floor = floor.unwrap_or(tier.floor);
    tier.burst = burst.unwrap_or(tier.burst);
    tier.max_merge_delay = max_merge_delay.map_or(tier.max_merge_delay, |given| given.0);
    tier.latency_target = latency_target.map_or(tier.latency_target, |given| given.0);
    tier.priority = priority.unwrap_or(tier.priority);
}

fn change_tenant(
    tenant: &mut TenantConfig,
    edit: &TenantEdit,
    token: Option<WriterToken>,
) -> Result<(), Error> {
    let TenantEdit {
        tiers,
        rate,
        bytes,
        weight,
        anonymous,
        token: _,
        remove_token,
    } = edit;
    if !tiers.is_empty() {
        tenant.tiers.clone_from(tiers);
    }
    tenant.rate = rate.map_or(tenant.rate, |given| given.0);
    tenant.bytes = bytes.map_or(tenant.bytes, |given| given.0);
    tenant.weight = weight.unwrap_or(tenant.weight);
    tenant.anonymous = anonymous.unwrap_or(tenant.anonymous);
    for name in remove_token {
        let there = tenant.tokens.len();
        tenant.tokens.retain(|token| token.name != *name);
        if tenant.tokens.len() == there {
            let names: Vec<_> = tenant
                .tokens
                .iter()
                .map(|token| token.name.as_str())
                .collect();
            return Err(Error::Usage {
                message: format!("tenant {} has no token {name:?}", tenant.name),
                hint: match names.is_empty() {
                    true => "it has none".to_owned(),
                    false => format!("it has {}", names.join(", ")),
                },
            });
        }
    }
    if let Some(token) = token {
        if tenant.tokens.iter().any(|other| other.name == token.name) {
            return Err(Error::Usage {
                message: format!("tenant {} has a token {} already", tenant.name, token.name),
                hint: "choose another name, or end that one in the same change with --remove-token"
                    .into(),
            });
        }
        tenant.tokens.push(token);
    }
    Ok(())
}

fn unknown_tier(qos: &QosConfig, name: &str) -> Error {
    let names: Vec<_> = qos.tiers.iter().map(|tier| tier.name.as_str()).collect();
    Error::Usage {
        message: format!("there is no tier {name}"),
        hint: format!(
            "there are {}; a new one needs --for, which names the tenants that may use it",
            names.join(", ")
        ),
    }
}

fn unknown_tenant(qos: &QosConfig, name: &str) -> Error {
    let names: Vec<_> = qos
        .tenants
        .iter()
        .map(|tenant| tenant.name.as_str())
        .collect();
    Error::Usage {
        message: format!("there is no tenant {name}"),
        hint: format!("there are {}; a new one needs --tiers", names.join(", ")),
    }
}
