//! Changes of members, as raft asks about them.

use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};
use std::borrow::Cow;

/// One step of a change.
pub fn new_conf_change_single(node_id: u64, change_type: ConfChangeType) -> ConfChangeSingle {
    ConfChangeSingle { change_type: change_type as i32, node_id }
}

/// Either form of a change.
pub trait ConfChangeI {
    /// As the newer form.
    fn into_v2(self) -> ConfChangeV2;
    /// As the newer form, borrowed if it is one.
    fn as_v2(&self) -> Cow<'_, ConfChangeV2>;
    /// As the older form, if it is one.
    fn as_v1(&self) -> Option<&ConfChange>;
}

impl ConfChangeI for ConfChange {
    fn into_v2(self) -> ConfChangeV2 {
        ConfChangeV2 {
            transition: ConfChangeTransition::Auto as i32,
            changes: vec![ConfChangeSingle {
                change_type: self.change_type,
                node_id: self.node_id,
            }],
            context: self.context,
        }
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Owned(self.clone().into_v2())
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        Some(self)
    }
}

impl ConfChangeI for ConfChangeV2 {
    fn into_v2(self) -> ConfChangeV2 {
        self
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Borrowed(self)
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        None
    }
}

impl ConfChangeV2 {
    /// Whether this needs joint consensus, and if so whether that ends by itself.
    /// More than one step always goes through it, which is simpler than proving
    /// that two steps are harmless.
    pub fn enter_joint(&self) -> Option<bool> {
        match self.get_transition() {
            ConfChangeTransition::Auto if self.changes.len() <= 1 => None,
            ConfChangeTransition::Auto | ConfChangeTransition::Implicit => Some(true),
            ConfChangeTransition::Explicit => Some(false),
        }
    }

    /// Whether this ends joint consensus: nothing in it but perhaps a context.
    pub fn leave_joint(&self) -> bool {
        self.changes.is_empty() && self.get_transition() == ConfChangeTransition::Auto
    }
}

/// Whether two configurations have the same members, in any order.
#[must_use]
pub fn conf_state_eq(a: &ConfState, b: &ConfState) -> bool {
    let same = |a: &[u64], b: &[u64]| {
        a == b || (a.iter().all(|x| b.contains(x)) && b.iter().all(|x| a.contains(x)))
    };
    same(&a.voters, &b.voters)
        && same(&a.learners, &b.learners)
        && same(&a.voters_outgoing, &b.voters_outgoing)
        && same(&a.learners_next, &b.learners_next)
        && a.auto_leave == b.auto_leave
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(transition: ConfChangeTransition, steps: u64) -> ConfChangeV2 {
        ConfChangeV2 {
            transition: transition as i32,
            changes: (1..=steps)
                .map(|n| new_conf_change_single(n, ConfChangeType::AddNode))
                .collect(),
            ..ConfChangeV2::default()
        }
    }

    #[test]
    fn joint_consensus_is_entered_when_needed() {
        use ConfChangeTransition::{Auto, Explicit, Implicit};
        let cases = [
            (change(Auto, 0), None, true),
            (change(Auto, 1), None, false),
            (change(Auto, 2), Some(true), false),
            (change(Implicit, 1), Some(true), false),
            (change(Explicit, 1), Some(false), false),
            (change(Explicit, 0), Some(false), false),
        ];
        for (change, enter, leave) in cases {
            assert_eq!((change.enter_joint(), change.leave_joint()), (enter, leave), "{change:?}");
        }
    }

    #[test]
    fn order_of_members_does_not_matter() {
        let a = ConfState::from((vec![1, 2, 3], vec![4]));
        assert!(conf_state_eq(&a, &ConfState::from((vec![3, 1, 2], vec![4]))));
        assert!(!conf_state_eq(&a, &ConfState::from((vec![1, 2], vec![4]))));
        assert!(!conf_state_eq(&a, &ConfState { auto_leave: true, ..a.clone() }));
    }
}
